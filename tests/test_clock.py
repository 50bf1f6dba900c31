import asyncio
import threading

import pytest

from turnout.testing.clock import ClockLoop, DeadlockError, now, run


def test_sleeping_takes_no_time_and_ends_at_the_exact_instant():
    async def main():
        seen = [now()]
        for pause in (0.1, 0.2, 3600.0, 1e6):
            await asyncio.sleep(pause)
            seen.append(now())
        return seen

    assert run(main()) == [0.0, 0.1, 0.1 + 0.2, 0.1 + 0.2 + 3600.0, 0.1 + 0.2 + 3600.0 + 1e6]


def test_timers_fire_in_order_of_their_time():
    async def main():
        seen = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            seen.append((seconds, now()))

        async with asyncio.TaskGroup() as group:
            for seconds in (3.0, 1.0, 2.0):
                group.create_task(wait(seconds))
        return seen

    assert run(main()) == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_time_stands_still_while_something_is_ready():
    async def main():
        for _ in range(100):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 0.0


def test_a_timeout_fires_at_its_instant():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 5.0


def test_a_cancelled_timer_does_not_move_the_clock():
    async def main():
        asyncio.get_running_loop().call_later(1.0, print).cancel()
        await asyncio.sleep(2.0)
        return now()

    assert run(main()) == 2.0


def test_waiting_for_nothing_is_a_deadlock_that_names_the_tasks():
    async def lonely():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(lonely(), name="the lonely one")
        await asyncio.sleep(1.5)
        await task

    with pytest.raises(
        DeadlockError, match=r"at 1\.5 s .*the lonely one in .*lonely at .*test_clock\.py:\d+"
    ):
        run(main())


def test_the_clock_waits_for_threads():
    async def main():
        started, finish = threading.Event(), threading.Event()

        def work():
            started.set()
            finish.wait(10)
            return "done"

        job = asyncio.get_running_loop().run_in_executor(None, work)
        asyncio.get_running_loop().call_later(60.0, print)
        await asyncio.to_thread(started.wait, 10)
        finish.set()
        return await job, now()

    assert run(main()) == ("done", 0.0)


def test_a_loop_waits_for_other_threads_when_it_has_a_socket_open():
    import socket

    async def main():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=theirs.sendall, args=(b"hi",))
        waiting = loop.create_task(loop.sock_recv(ours, 10))
        loop.call_soon(thread.start)
        try:
            return await waiting
        finally:
            thread.join()
            ours.close()
            theirs.close()

    assert run(main()) == b"hi"


def test_a_loop_starts_at_zero():
    loop = ClockLoop()
    try:
        assert loop.time() == 0.0
    finally:
        loop.close()
