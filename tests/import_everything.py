"""Import every module of the package in a process that may not connect, resolve or run anything.

Run by test_architecture.py in its own interpreter; prints how many modules were imported.
"""

import importlib
import pkgutil
import sys

DENIED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec")
DENIED += ("os.posix_spawn", "os.fork", "os.forkpty")


def deny(event: str, args: tuple[object, ...]) -> None:
    if event in DENIED:
        sys.exit(f"{event}{args!r} at import")


def main() -> None:
    sys.addaudithook(deny)
    import turnout

    names = [module.name for module in pkgutil.walk_packages(turnout.__path__, "turnout.")]
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    sys.stdout.write(str(len(names)))


if __name__ == "__main__":
    main()
