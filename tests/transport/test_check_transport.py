"""The conformance suite finds what is wrong and names it."""

import pytest

from turnout.errors import ProviderUnreachable
from turnout.testing.transport import check_transport


class Answer:
    status = 200
    headers = {}  # noqa: RUF012 - a stub

    def __init__(self, body):
        self.body = body

    async def read(self):
        body, self.body = self.body, b""
        return body

    chunk = read

    def close(self):
        pass


class Parrot:
    """Says the same to everybody."""

    def __init__(self, body):
        self.body = body

    async def send(self, request, timeouts, authorise=None):
        return Answer(self.body)

    async def close(self):
        pass


class Mute(Parrot):
    async def send(self, request, timeouts, authorise=None):
        raise ProviderUnreachable("never")


@pytest.mark.parametrize(
    ("transport", "complaint"),
    [
        (Mute(b""), r"sized body: provider_unreachable, expected \(200, b'hello'\)"),
        (Parrot(b"hello"), r"sized body: the next call gave \(200, b'hello'\)"),
    ],
)
async def test_a_transport_that_does_not_carry_is_found(transport, complaint):
    with pytest.raises(AssertionError, match=complaint):
        await check_transport(lambda _: transport)
