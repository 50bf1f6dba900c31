import asyncio

import pytest

from turnout.testing.clock import DeadlockError
from turnout.testing.layer import check_layer, make_call


class Through:
    def __init__(self, handler, call):
        self.inner = handler(call)
        self.handler, self.call = handler, call

    async def __aenter__(self):
        return await self.inner.__aenter__()

    async def __aexit__(self, kind, error, trace):
        return await self.inner.__aexit__(kind, error, trace)


class SwallowsCancellation(Through):
    async def __aexit__(self, kind, error, trace):
        await self.inner.__aexit__(kind, error, trace)
        return kind is asyncio.CancelledError


class ForgetsToLeave(Through):
    async def __aexit__(self, kind, error, trace):
        return None


class LeavesTwice(Through):
    async def __aexit__(self, kind, error, trace):
        await self.inner.__aexit__(kind, error, trace)
        return await self.inner.__aexit__(kind, error, trace)


class HidesTheError(Through):
    async def __aexit__(self, kind, error, trace):
        return await self.inner.__aexit__(None, None, None)


class ReplacesTheRefusal(Through):
    async def __aenter__(self):
        try:
            return await self.inner.__aenter__()
        except Exception as error:
            raise RuntimeError("other") from error


class EntersAgain(Through):
    async def __aexit__(self, kind, error, trace):
        if error is not None:
            await self.handler(self.call).__aenter__()
        return await self.inner.__aexit__(kind, error, trace)


class KeepsThePermit(Through):
    permits = None

    async def __aenter__(self):
        await type(self).permits.acquire()
        return await self.inner.__aenter__()

    async def __aexit__(self, kind, error, trace):
        type(self).permits.release()
        return await self.inner.__aexit__(kind, error, trace)


def wrap(kind):
    return lambda inner: lambda call: kind(inner, call)


def test_a_layer_that_only_passes_on_is_good():
    check_layer(wrap(Through), make_call)


@pytest.mark.parametrize(
    "kind",
    [SwallowsCancellation, ForgetsToLeave, LeavesTwice, HidesTheError, ReplacesTheRefusal, EntersAgain],
    ids=lambda kind: kind.__name__,
)
def test_a_broken_rule_is_found(kind):
    with pytest.raises(AssertionError):
        check_layer(wrap(kind), make_call)


def test_a_permit_that_is_not_given_back_is_found():
    KeepsThePermit.permits = asyncio.Semaphore(1)
    with pytest.raises(DeadlockError):
        check_layer(wrap(KeepsThePermit), make_call)
