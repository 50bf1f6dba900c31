"""`turnout users`, `tokens` and `pepper`, as one story at one desk."""

import json

import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.errors import Conflict


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def call(*arguments):
        done = runner.invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return call


def test_somebody_is_invited_given_a_token_and_kept_out(run) -> None:
    run("org", "create", "acme")
    ada = json.loads(run("users", "invite", "Ada@example.com", "--role", "viewer", "--org", "acme", "--json"))
    assert (ada["email"], ada["source"], "generation" in ada) == ("ada@example.com", "hand", False)
    made = json.loads(run("tokens", "create", ada["id"], "--expires", "5d", "--name", "ci", "--json"))
    assert made["key"].startswith(made["prefix"])
    assert made["id"] in run("keys", "expiring")
    assert json.loads(run("users", "role", ada["id"], "operator", "--org", "acme", "--json"))["version"] == 2
    run("users", "sign-out", ada["id"])
    assert json.loads(run("users", "disable", ada["id"], "--json"))["disabled"]
    assert "disabled" in run("users", "list", "--org", "acme")
    run("users", "enable", ada["id"])
    assert "revoked" in run("tokens", "revoke", made["id"])
    assert "revoked" in run("tokens", "list", "--user", ada["id"])
    assert ada["id"] in run("users", "show", ada["id"])
    run("users", "remove", ada["id"])
    assert run("users", "list") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "list"), "no keys yet"),
        (("keys", "list", "--after", "key_1"), "no more keys"),
        (("keys", "list", "--json"), ""),
        (("keys", "expiring"), "none ends within 14 days"),
        (("budget", "list"), "no budgets yet"),
        (("org", "list"), "no organisations yet"),
        (("tokens", "list"), "no tokens yet"),
        (("credentials", "list"), "no credentials yet"),
        (("audit", "list"), "no acts yet"),
    ],
)
def test_a_list_of_nothing_says_so_to_people_and_not_to_pipes(tmp_path, monkeypatch, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert (done.stdout.strip(), done.stderr.strip()) == ("[]" if "--json" in words else "", said)


def test_a_pepper_is_replaced_unless_keys_would_end(run) -> None:
    run("keys", "create")
    first = run("pepper", "show").split()[0]
    second = run("pepper", "rotate")
    lines = [line.split() for line in run("pepper", "show").splitlines()]
    assert lines == [[second, "newest", "0", "keys"], [first, "previous", "1", "keys"]]
    with pytest.raises(Conflict, match="1 keys were not used"):
        run("pepper", "rotate")
    third = run("pepper", "rotate", "--ending")
    lines = [line.split()[0] for line in run("pepper", "show").splitlines()]
    assert lines == [third, second, "-"]
