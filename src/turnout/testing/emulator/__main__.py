"""`python -m turnout.testing.emulator`: an emulated provider as a process of its own. Floor 6."""

import argparse
import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import uvicorn

from turnout.testing.emulator.app import Emulator
from turnout.testing.emulator.script import Script
from turnout.testing.emulator.serve import HOST, config_of, dialects, listen


def main() -> int:
    """Serve until told to stop; return the exit status."""
    args = _arguments()
    emulator = Emulator(dialects(), seed=args.seed)
    try:
        if args.config is not None:
            emulator.follow(msgspec.json.decode(args.config.read_bytes(), type=Script))
        sock = listen(args.port)
    except msgspec.MsgspecError as error:
        return _refuse(f"{args.config}: {error}")
    except OSError as error:
        return _refuse(f"{error.filename or f'port {args.port}'}: {error.strerror}")
    for name in filter(None, args.models.split(",")):
        emulator.add(name)
    logging.disable(logging.CRITICAL)  # a dropped connection is this program's work, not a defect
    sys.stderr.write(f"emulator: on http://{HOST}:{sock.getsockname()[1]}, answers are emulated\n")
    sys.stderr.flush()
    with suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config_of(emulator)).serve([sock]))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m turnout.testing.emulator",
        description="An emulated provider on loopback. It speaks the formats of OpenAI (/v1/chat/completions,"
        " /v1/embeddings), Anthropic (/v1/messages) and Gemini (/v1beta/models/…), answers from a script, and"
        " says in every answer that it is an emulator. GET /emulator/served tells what was consumed; POST"
        " /emulator/behaviour changes how models behave.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one, told on stderr")
    parser.add_argument("--models", default="", metavar="A,B", help="names to list; any name is answered")
    parser.add_argument(
        "--config", type=Path, metavar="FILE.json", help='{"models": {NAME: {"behaviour": …, "answers": …}}}'
    )
    parser.add_argument("--seed", type=int, default=0, help="of waits and faults; default: %(default)s")
    return parser.parse_args()


def _refuse(message: str) -> int:
    sys.stderr.write(f"emulator: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
