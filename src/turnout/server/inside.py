"""A request that this process asks itself: no socket, no client who could leave. Floor 6."""

from collections.abc import Sequence

from turnout.server.http import ON_LEAVE, Message, RawHeaders, Scope


class Kept:
    """The other end of a request that this process asks itself: gives the body, keeps the answer."""

    __slots__ = ("_request", "body", "headers", "status")

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.status = 0
        """0 = nothing was answered."""
        self.headers: RawHeaders = []
        self.body = bytearray()

    def scope(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Scope:
        """Return the ASGI scope of a POST."""
        return {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": list(headers),
            "extensions": {ON_LEAVE: lambda _: None},  # nobody can leave
        }

    async def receive(self) -> Message:
        """Give the body whole."""
        return {"type": "http.request", "body": self._request}

    async def send(self, message: Message) -> None:
        """Keep a piece of the answer."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
