"""`turnout demo`: the whole trip on this machine, with a real small model and emulated providers. Floor 7."""

import secrets
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from turnout.cli.demo_cast import EMULATED, LARGE, LOCAL, RECORDED, TRAINEE, VISITOR, Player

if TYPE_CHECKING:
    from openai import OpenAI
    from rich.console import Console

    from turnout.cli.demo_checks import Check, Seen
    from turnout.cli.demo_exam import Exam, Result
    from turnout.cli.demo_questions import Told
    from turnout.cli.demo_stage import Program, Stage
    from turnout.testing.emulator.app import Served
    from turnout.types.record import Record

DEFAULT_PORT: Final = 4000
_GATEWAY: Final = "gateway"
_COMMAND: Final = "import sys; sys.argv[0] = 'turnout'; from turnout.cli.main import main; main()"
_JOURNAL_S: Final = 5.0
"""How long Records may take to reach the journal's file."""
_POLL_S: Final = 0.2


@click.command()
@click.option("--once", is_flag=True, help="End after the tables; exit status 0 only if every step happened.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with RouteLLM's gsm8k.parquet. Default: shared/data/routellm, here or beside here.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The gateway's port. Default: {DEFAULT_PORT}, or any free one when that is taken.",
)
@click.option("--no-local-model", is_flag=True, help="Go without the real model.")
def demo(once: bool, data: Path | None, port: int | None, no_local_model: bool) -> None:
    """Show everything at work: no key, no network.

    Starts a real small model, an emulator per wire format and the gateway, each as its own process; asks
    questions through the official openai client; kills one provider midway; and reads back from the journal
    who answered, why, and what it cost. The gateway then stays up until Ctrl-C.
    """
    from turnout.cli.demo_stage import Stage, StageError

    with tempfile.TemporaryDirectory(prefix="turnout-demo-") as folder, Stage(Path(folder)) as stage:
        try:
            run = Demo(stage, port, wants_local=not no_local_model)
            ok = run.run(data)
            if not once:
                run.invite()
                _stay(stage)
        except StageError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            click.echo("\nturnout: ended", err=True)
            sys.exit(130)
    sys.exit(0 if ok else 1)


class Demo:
    """One run."""

    def __init__(self, stage: "Stage", port: int | None, *, wants_local: bool) -> None:
        from turnout.cli.demo_tables import console_for

        self._stage = stage
        self._port = port
        self._wants_local = wants_local
        self._missing = ""
        """Why the real model does not take part although it should."""
        self._console: Console = console_for()
        self._players: list[Player] = []
        self._addresses: dict[str, str] = {}
        self._exam: Exam | None = None
        self._served: dict[str, Served] = {}
        self._url = ""
        self._keys = {name: f"tn_demo_{secrets.token_urlsafe(24)}" for name in (VISITOR, TRAINEE)}

    def run(self, data: Path | None) -> bool:
        """Do everything up to the tables; return whether it all happened as it must."""
        started = time.perf_counter()
        self._console.print("[bold]Turnout demo[/]: everything runs on this machine; no key, no network\n")
        self._prepare(data)
        url = self._start()
        clients = {name: _client(url, key) for name, key in self._keys.items()}
        told, killed_at = self._interview(clients)
        results = self._sit(clients[VISITOR])
        checks = self._conclude(told, killed_at, results)
        took = time.perf_counter() - started
        failed = [each for each in checks if each.wrong]
        verdict = (
            f"[red]{len(failed)} of {len(checks)} checks failed[/]"
            if failed
            else f"[green]all {len(checks)} checks passed[/]"
        )
        self._console.print(f"{verdict} in {took:.1f} s")
        if failed:
            words = self._stage.programs[_GATEWAY].last_words()
            self._console.print(f"the gateway's last words: {words}", markup=False)
        self._url = url
        return not failed

    def invite(self) -> None:
        """Say where the gateway is, and how to try it."""
        model, url = self._players[0].id, self._url
        ask = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        body = msgspec.json.encode(ask).decode()
        self._console.print(f"\nThe gateway is on [bold]{url}/v1[/]. Try it:\n")
        for line in (
            f"  curl {url}/v1/chat/completions -H 'content-type: application/json' \\",
            f"    -H 'authorization: Bearer {self._keys[VISITOR]}' \\",
            f"    -d {shlex.quote(body)}",
            f"  {_this_command()} journal tail --db {self._stage.folder / 'journal.db'}",
        ):
            self._console.print(line, markup=False, soft_wrap=True)

    def _prepare(self, data: Path | None) -> None:
        """Look for recorded answers, and start everything but the gateway, all at once."""
        start, folder = self._stage.start, self._stage.folder
        if self._wants_local:
            start(LOCAL.provider, "-m", "turnout.testing.local_model")
        for player in EMULATED:
            self._script(folder, player.provider, {"models": {player.model: {"behaviour": player.behaviour}}})
            start(player.provider, *_emulator(folder, player.provider))
        self._exam = self._draw(data)
        if self._exam is not None:
            self._script(folder, RECORDED, self._exam.script())
            start(RECORDED, *_emulator(folder, RECORDED))

    def _script(self, folder: Path, name: str, script: Mapping[str, object]) -> None:
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(script))

    def _draw(self, data: Path | None) -> "Exam | None":
        from turnout.cli.demo_exam import draw, find

        table = find(data)
        if table is None:
            if data is not None:
                raise click.BadParameter(f"{data} holds no gsm8k.parquet", param_hint="--data")
            return None
        try:
            return draw(table)
        except ImportError:
            reason = "pyarrow is not installed"
        except (OSError, ValueError, LookupError) as error:
            reason = str(error)
        self._note(f"recorded answers are left out: {reason}", "yellow")
        return None

    def _start(self) -> str:
        """Wait for all of them, start the gateway, and return its address."""
        from turnout.cli.demo_stage import StageError, wait_for

        programs = self._stage.programs
        if self._wants_local:
            program = programs[LOCAL.provider]
            try:
                address = program.address()
                wait_for(f"{address}/health", program)
            except StageError:
                self._missing = program.last_words().removeprefix("local model: ")
                self._note(f"the real model is left out: {self._missing}", "yellow")
            else:
                self._takes_part(LOCAL, address)
        for player in EMULATED:
            self._takes_part(player, programs[player.provider].address())
        if self._exam is not None:
            self._players += self._exam.players
            address = self._addresses[RECORDED] = programs[RECORDED].address()
            self._note(f"{f'{RECORDED}/…':<22} recorded answers of two real models, on {address}", "green")
        gateway = self._gateway()
        url = gateway.address()
        wait_for(f"{url}/readyz", gateway)
        self._note(f"{'gateway':<22} turnout serve, on {url}/v1", "green")
        self._console.print()
        return url

    def _takes_part(self, player: Player, address: str) -> None:
        self._players.append(player)
        self._addresses[player.provider] = address
        self._note(f"{player.id:<22} {player.about}, on {address}", "green")

    def _note(self, text: str, colour: str) -> None:
        sign = "✓" if colour == "green" else "!"
        self._console.print(f"  [{colour}]{sign}[/] {text}")

    def _gateway(self) -> "Program":
        import yaml

        from turnout.cli.demo_cast import configuration

        folder = self._stage.folder
        routes = {} if self._exam is None else self._exam.routes()
        tree = configuration(self._players, self._addresses, folder, self._keys, routes)
        file = folder / "turnout.yaml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        port = _free_or_any(DEFAULT_PORT) if self._port is None else self._port
        return self._stage.start(_GATEWAY, "-c", _COMMAND, "serve", "-c", str(file), "--port", str(port))

    def _interview(self, clients: "Mapping[str, OpenAI]") -> tuple[list["Told"], int]:
        """Ask everything, with a kill in between; return what came, and the number asked before the kill."""
        from turnout.cli.demo_questions import after, ask, before

        told: list[Told] = []
        with self._console.status("asking through the official openai client …") as status:
            for question in before(local=LOCAL in self._players):
                status.update(f"asking {question.model}: {question.prompt}")
                told += ask(clients, question)
            killed_at = len(told)
            self._keep_books(EMULATED)
            self._stage.programs[LARGE.provider].kill()
            for question in after():
                status.update(f"asking {question.model}, whose process is dead: {question.prompt}")
                told += ask(clients, question)
        self._keep_books([each for each in EMULATED if each is not LARGE])
        return told, killed_at

    def _keep_books(self, players: Sequence[Player]) -> None:
        """Read what the emulators counted themselves."""
        from turnout.cli.demo_stage import get
        from turnout.testing.emulator.app import Served

        for player in players:
            books = get(f"{self._addresses[player.provider]}/emulator/served")
            self._served.update(msgspec.json.decode(books, type=dict[str, Served]))

    def _sit(self, client: "OpenAI") -> list["Result"]:
        """Let every strategy answer the drawn questions."""
        if self._exam is None:
            return []
        from turnout.cli.demo_exam import STRONG_RPM, sit
        from turnout.cli.demo_stage import post
        from turnout.cli.demo_tables import strategies

        results: list[Result] = []
        for name, model in strategies(self._exam):
            if model == "turnout/strong-first":
                limit = {self._exam.strong.model: {"rpm": STRONG_RPM}}
                post(f"{self._addresses[RECORDED]}/emulator/behaviour", limit)
            with self._console.status(f"{len(self._exam.items)} questions with recorded answers: {name}"):
                results.append(sit(client, self._exam, name, model))
        self._keep_books(self._exam.players)
        return results

    def _conclude(self, told: list["Told"], killed_at: int, results: list["Result"]) -> tuple["Check", ...]:
        """Read the journal, print the tables, and check everything."""
        from turnout.cli import demo_checks, demo_exam, demo_tables

        n_sent = len(told) + sum(len(result.sat) for result in results)
        records = _records(self._stage.folder / "journal.db", n_sent)
        seen: Seen = demo_checks.Seen(
            told=told,
            records=records,
            n_journal=len(records),
            n_sent=n_sent,
            served=self._served,
            players=self._players,
        )
        console = self._console
        missing = self._missing if self._wants_local else "--no-local-model"
        table = demo_tables.decisions(told, records, killed_at, console.width, missing=missing)
        console.print(table)
        console.print(demo_tables.legend(self._players), style="dim")
        refused = next((each.message for each in told if each.error == "budget_exceeded"), "")
        console.print(f"\n[yellow]{TRAINEE}[/], refused: ", end="")
        console.print(f"“{refused}”", markup=False)
        said = next((each.text for each in told if each.model == LOCAL.id and each.text), "")
        if said:
            console.print(f"\n[green]{LOCAL.id}[/], really: ", end="")
            console.print(f"“{' '.join(said.split())}”", markup=False)
        console.print()
        checks = demo_checks.check(seen)
        if self._exam is not None:
            console.print(demo_tables.exam(self._exam, results))
            console.print(demo_tables.small_print(self._exam), style="dim")
            console.print()
            checks = (*checks, *demo_exam.check(self._exam, results))
        if self._missing:
            checks = (demo_checks.Check("the real model takes part", (self._missing,)), *checks)
        demo_tables.checks(console, checks)
        return checks


def _emulator(folder: Path, name: str, port: int = 0) -> tuple[str, ...]:
    script = str(folder / f"{name}.json")
    return "-m", "turnout.testing.emulator", "--config", script, "--port", str(port)


def _client(url: str, key: str) -> "OpenAI":
    try:
        import openai
    except ImportError:
        raise click.ClickException("the demo needs the openai package: pip install 'turnout[demo]'") from None
    # No proxy of the environment, no retries of its own: what is seen is the gateway's doing.
    web = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, timeout=60, http_client=web)


def _records(journal: Path, n: int) -> "dict[str, Record]":
    """Read the journal once it holds `n` Records, or after a while what it holds."""
    from turnout.stores.base import Query
    from turnout.stores.sqlite import SqliteRows

    rows = SqliteRows(journal)
    try:
        until = time.monotonic() + _JOURNAL_S
        while rows.count(Query()) < n and time.monotonic() < until:
            time.sleep(_POLL_S / 4)
        return {each.request_id: each for each in rows.query(Query(limit=n + 100)).records}
    finally:
        rows.close()


def _free_or_any(port: int) -> int:
    """Return the port if it is free, else 0."""
    from turnout.errors import ConfigError
    from turnout.server.bind import bind

    try:
        bind("127.0.0.1", port).close()
    except ConfigError:
        return 0
    return port


def _this_command() -> str:
    path = Path(sys.argv[0])
    try:
        return shlex.quote(str(path.absolute().relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(path.name)


def _stay(stage: "Stage") -> None:
    """Put the killed process back, and wait for Ctrl-C. Raises `StageError` when the gateway ends first."""
    from turnout.cli.demo_stage import StageError

    emulator, gateway = stage.programs[LARGE.provider], stage.programs[_GATEWAY]
    port = emulator.address().rpartition(":")[2]
    emulator.restart(_emulator(stage.folder, LARGE.provider, int(port)))
    # Noted rather than raised: an exception out of nowhere, in the middle of asking how a process is, could
    # leave that process's lock taken, and the end would wait for it for ever.
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: asked.append(number))
    click.echo(f"\n{LARGE.id} is back; everything runs until Ctrl-C, and leaves nothing behind.")
    while not asked:
        if gateway.status is not None:
            raise StageError(f"the gateway ended with status {gateway.status}: {gateway.last_words()}")
        time.sleep(_POLL_S)
    if asked[0] != signal.SIGINT:
        sys.exit(128 + asked[0])
