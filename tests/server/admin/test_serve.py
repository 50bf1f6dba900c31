"""The admin API of a gateway process: what the command line applies is in force there, too."""

import asyncio

import pytest

from tests.cli.run import turnout
from tests.cli.test_serve import SOON_S, config_text, emulator, http, serve, upstream

__all__ = ["emulator", "http", "upstream"]

BODY = {"model": "turnout/main", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("path", ["/admin/v1/health", "/admin/v1/teams"])
async def test_a_process_with_a_desk_serves_administration_to_an_owner(
    tmp_path, upstream, http, path
) -> None:
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, extra="desk: {}"))
    made = turnout("keys", "create", "--role", "owner", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    key = next(word for word in made.stdout.split() if word.startswith("tn_"))
    async with serve(tmp_path) as served:
        bearer = {"authorization": f"Bearer {key}"}
        assert (await http.get(f"{served.url}{path}", headers=bearer)).status_code == 200
        assert (await http.get(f"{served.url}{path}")).status_code == 401


async def test_a_version_applied_at_the_command_line_comes_into_force_and_goes_again(
    tmp_path, upstream, http
) -> None:
    (tmp_path / "turnout.yaml").write_text(
        config_text(upstream, extra="desk: {}\nadmin: {config: desk}\nledger: {store: memory}")
    )
    (tmp_path / "other.yaml").write_text("routes: [{name: main, models: [up/two]}]\n")

    async def until(served, model) -> None:
        async with asyncio.timeout(SOON_S):
            while True:
                reply = await http.post(f"{served.url}/v1/chat/completions", json=BODY)
                if reply.headers["x-turnout-model"] == model:
                    return
                await asyncio.sleep(0.05)

    async with serve(tmp_path) as served:
        await until(served, "up/one")
        for command in (("propose", "other.yaml"), ("apply", "v000001")):
            done = await asyncio.to_thread(turnout, "config", *command, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        await until(served, "up/two")
        done = await asyncio.to_thread(turnout, "config", "rollback", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        await until(served, "up/one")
