"""`turnout` with a window: who connects to the socket named by BENCH_WINDOW is told how many tasks there are.

Theory of operation. The commands run as ever, in the main thread. A thread beside them answers each
connection to a Unix socket with one line of JSON and closes it. It finds the event loop through the collector
(any task knows its loop), so nothing in the gateway has to know of it.
"""

import asyncio
import gc
import json
import os
import socket
import threading


def main() -> None:
    window = os.environ.get("BENCH_WINDOW")
    if window:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(window)
        listener.listen()
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
    from turnout.cli.main import main as command  # noqa: PLC0415  after the window, so that it is there at once

    command()


def _answer(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(
                json.dumps({"tasks": _n_tasks(), "threads": threading.active_count()}).encode()
            )


def _n_tasks() -> int:
    loops = {
        each.get_loop() for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()
    }
    return sum(len(asyncio.all_tasks(loop)) for loop in loops if loop.is_running())


if __name__ == "__main__":
    main()
