"""`turnout keys` and its siblings as people run them, beside gateways that follow the same desk."""

import asyncio
import json
import os
import pty
import sqlite3
import subprocess
import time

import pytest

from tests.cli.run import COMMAND, QUIET, turnout
from tests.cli.test_serve import BODY, SOON_S, config_text, emulator, http, serve, upstream

__all__ = ["emulator", "http", "upstream"]

REVOKED_WITHIN_S = 5.0
"""S-111."""


def run(folder, *arguments):
    done = turnout(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def ask(http, served, key):
    reply = await http.post(
        f"{served.url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}"}
    )
    return reply.status_code


async def within(seconds, claim):
    """Wait until an answer is so; return how long it took."""
    started = time.perf_counter()
    async with asyncio.timeout(SOON_S):
        while not await claim():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    took = time.perf_counter() - started
    assert took < seconds
    return took


async def test_a_revoked_key_ends_in_every_process_on_the_desk_within_five_seconds(
    tmp_path, upstream, http
) -> None:
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    made = json.loads(run(tmp_path, "keys", "create", "--name", "ci", "--json"))
    async with serve(tmp_path) as one, serve(tmp_path) as two:
        assert [await ask(http, each, made["key"]) for each in (one, two)] == [200, 200]
        assert [await ask(http, each, "wrong") for each in (one, two)] == [401, 401]
        await asyncio.to_thread(run, tmp_path, "keys", "revoke", made["id"])

        async def ended():
            return [await ask(http, each, made["key"]) for each in (one, two)] == [401, 401]

        await within(REVOKED_WITHIN_S, ended)


async def test_the_first_key_closes_a_gateway_that_runs(tmp_path, upstream, http) -> None:
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    async with serve(tmp_path) as served:
        assert await ask(http, served, "anything") == 200
        key = (await asyncio.to_thread(run, tmp_path, "keys", "create")).strip()

        async def closed():
            return await ask(http, served, "anything") == 401

        await within(REVOKED_WITHIN_S, closed)
        assert await ask(http, served, key) == 200
    assert not any(key in line for line in served.lines)


def test_a_key_is_shown_once_rotated_disabled_and_revoked(tmp_path) -> None:
    run(tmp_path, "org", "create", "acme", "name=Acme")
    run(tmp_path, "team", "create", "red", "--org", "acme")
    made = json.loads(
        run(tmp_path, "keys", "create", "--org", "acme", "--team", "red", "--expires", "90d", "--json")
    )
    key, name = made["key"], made["id"]
    assert key not in run(tmp_path, "keys", "list")
    assert f"{key[:9]}…{key[-4:]}" in run(tmp_path, "keys", "list", "--org", "acme")
    assert json.loads(run(tmp_path, "keys", "disable", name, "--json"))["disabled"] is True
    assert json.loads(run(tmp_path, "keys", "enable", name, "--json"))["disabled"] is False
    new = json.loads(run(tmp_path, "keys", "rotate", name, "--overlap-h", "1", "--json"))
    assert json.loads(run(tmp_path, "keys", "show", name, "--json"))["replaced_by"] == new["id"]
    run(tmp_path, "keys", "revoke", name, new["id"])
    states = [row["revoked"] for row in json.loads(run(tmp_path, "keys", "list", "--json"))]
    assert states == [True, True]
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".turnout").iterdir())
    assert key.encode() not in kept
    assert new["key"].encode() not in kept
    said = run(tmp_path, "audit", "list", "--org", "acme", "--json")
    assert [entry["act"]["action"] for entry in json.loads(said)] == [
        "team.create",
        "key.create",
        "key.update",
        "key.update",
        "key.rotate",
        "key.revoke",
        "key.revoke",
    ]


def test_limits_are_made_changed_and_removed(tmp_path) -> None:
    run(tmp_path, "org", "create", "acme")
    run(tmp_path, "budget", "create", "b", "--org", "acme", "level=organisation", "subject=acme", "usd=5")
    run(tmp_path, "budget", "set", "b", "usd=7.5", "hard=false")
    shown = json.loads(run(tmp_path, "budget", "show", "b", "--json"))
    assert (shown["usd"], shown["hard"], shown["version"]) == (7.5, False, 2)
    run(tmp_path, "budget", "remove", "b")
    assert run(tmp_path, "budget", "list", "--json") == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("keys", "create", "--org", "nobody"),
            "turnout: invalid_request: there is no organisation 'nobody'",
        ),
        (("keys", "show", "key_x"), "turnout: not_found: there is no key 'key_x'"),
        (
            ("team", "create", "x", "wheel=1"),
            "turnout: forbidden: team: the field 'wheel' is not yours to write; those are disabled, id, name",
        ),
        (("budget", "create", "b", "usd=5"), "turnout: invalid_request: budget.level: is missing"),
        (
            ("budget", "create", "b", "level=organisation", "usd=much"),
            "turnout: invalid_request: budget.usd: expected float, got str",
        ),
        (
            ("users", "invite", "foo", "--role", "viewer"),
            "turnout: invalid_request: email: 'foo' is no e-mail address; expected one such as ",
        ),
        (
            ("keys", "create", "--expires", "soon"),
            "turnout: Invalid value: 'soon': expected 90d, 12h, 30m or an ISO date with",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, arguments, said) -> None:
    done = turnout(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.strip().startswith(said)


def test_verify_names_the_broken_entry_and_ends_with_1(tmp_path) -> None:
    for n in range(3):
        run(tmp_path, "keys", "create", "--name", f"k{n}")
    assert run(tmp_path, "audit", "verify") == "1 chains, 3 entries, whole"
    (tmp_path / "seen.jsonl").write_text(run(tmp_path, "audit", "checkpoint") + "\n")
    with sqlite3.connect(tmp_path / ".turnout" / "desk.db") as db:
        db.execute("DROP TRIGGER audit_whole")
        db.execute("DELETE FROM audit WHERE seq = 3")
    db.close()
    assert run(tmp_path, "audit", "verify") == "1 chains, 2 entries, whole"
    cut = turnout("audit", "verify", "--checkpoints", "seen.jsonl", cwd=tmp_path)
    assert cut.returncode == 1
    assert "the installation: entry 3 is missing" in cut.stdout
    exported = [json.loads(line) for line in run(tmp_path, "audit", "export").splitlines()]
    assert [entry["act"]["action"] for entry in exported] == ["key.create", "key.create", "audit.export"]


def test_the_acts_of_an_organisation_that_never_was_begin_no_chain(tmp_path) -> None:
    run(tmp_path, "org", "create", "acme")
    run(tmp_path, "org", "remove", "acme")
    for verb in ("export", "list"):
        done = turnout("audit", verb, "--org", "acne", cwd=tmp_path)
        said = "Invalid value: --org: there is no organisation 'acne'; there are: acme"
        assert (done.returncode, done.stdout, done.stderr) == (
            2,
            "",
            f"turnout: {said}; see `turnout audit {verb} --help`\n",
        )
    assert run(tmp_path, "audit", "verify").startswith("2 chains, ")
    exported = [json.loads(line) for line in run(tmp_path, "audit", "export", "--org", "acme").splitlines()]
    assert [entry["act"]["action"] for entry in exported] == ["audit.export"]


def on_a_terminal(folder):
    """Start `turnout serve` with a terminal for standard error; return what it says until it serves."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "serve"], cwd=folder, env=QUIET, stderr=theirs, stdout=subprocess.DEVNULL
    )
    os.close(theirs)
    said = b""
    try:
        while b"serving on" not in said:
            said += os.read(ours, 4096)
    finally:
        process.terminate()
        process.wait(SOON_S)
        os.close(ours)
    return said.decode()


async def test_the_first_start_shows_an_owners_key_on_the_terminal_once(tmp_path, upstream) -> None:
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, extra="desk: {}"))
    first = await asyncio.to_thread(on_a_terminal, tmp_path)
    assert first.count("tn_") == 1
    assert "tn_" not in await asyncio.to_thread(on_a_terminal, tmp_path)
    (owner,) = json.loads(run(tmp_path, "keys", "list", "--json"))
    assert (owner["role"], owner["organisation"]) == ("owner", None)


async def test_without_a_terminal_no_owners_key_is_made(tmp_path, upstream) -> None:
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, extra="desk: {}"))
    async with serve(tmp_path) as served:
        assert not any("tn_" in line for line in served.lines)
    assert run(tmp_path, "keys", "list", "--json") == "[]"


@pytest.mark.parametrize(
    ("server", "desk", "said"),
    [
        ("", "owner_token: changeme", "desk.owner_token: too easy to guess"),
        ("", "owner_token: '" + "changeme" * 8 + "'", "desk.owner_token: too easy to guess"),
        ("", "pepper: '" + "a" * 64 + "'", "desk.pepper: too easy to guess"),
        ("host: 0.0.0.0, behind_proxy: true", "path: d.db", "server.keys: 0.0.0.0 is not loopback"),
    ],
)
def test_a_start_that_would_not_be_safe_is_refused(tmp_path, server, desk, said) -> None:
    (tmp_path / "turnout.yaml").write_text(
        config_text("http://127.0.0.1:9", server=server, extra=f"desk: {{{desk}}}")
    )
    done = turnout("serve", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "changeme" not in done.stderr


async def test_a_key_of_the_desk_allows_an_address_that_is_not_loopback(tmp_path, upstream, http) -> None:
    server = "host: 0.0.0.0, behind_proxy: true"
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, server=server))
    key = run(tmp_path, "keys", "create")
    async with serve(tmp_path) as served:
        served.url = served.url.replace("0.0.0.0", "127.0.0.1")
        assert [await ask(http, served, each) for each in (key, "wrong")] == [200, 401]


def test_a_credential_is_read_from_standard_input_and_kept_encrypted(tmp_path) -> None:
    master, newer = "0123456789abcdef" * 4, "fedcba9876543210" * 4
    file = tmp_path / "turnout.yaml"
    file.write_text(f"desk: {{master_key: {master}}}\n")
    made = turnout("credentials", "add", "openai", "--json", cwd=tmp_path, stdin="sk-canary-0123456789\n")
    assert made.returncode == 0, made.stderr
    assert "sk-canary" not in made.stdout + run(tmp_path, "credentials", "list")
    assert b"sk-canary" not in (tmp_path / ".turnout" / "desk.db").read_bytes()
    file.write_text(f"desk: {{master_key: {newer}, previous_master_key: {master}}}\n")
    assert run(tmp_path, "credentials", "rewrap") == "1 re-wrapped"
    run(tmp_path, "credentials", "remove", json.loads(made.stdout)["id"])
    assert run(tmp_path, "credentials", "list", "--json") == "[]"


async def test_a_provider_may_live_on_a_stored_credential_alone(tmp_path, upstream, http) -> None:
    text = config_text(upstream, extra=f"desk: {{master_key: {'0123456789abcdef' * 4}}}")
    text = text.replace(", secret: sk-upstream-canary", ", auth: bearer")
    (tmp_path / "turnout.yaml").write_text(text)
    assert "no credential" in turnout("check", cwd=tmp_path).stderr
    assert turnout("credentials", "add", "up", cwd=tmp_path, stdin="sk-stored\n").returncode == 0
    assert turnout("check", cwd=tmp_path).returncode == 0
    async with serve(tmp_path) as served:
        assert await ask(http, served, "anything") == 200
