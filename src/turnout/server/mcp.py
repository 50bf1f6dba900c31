"""`/mcp`: the gateway as an MCP server over streamable HTTP. Floor 6.

Theory of operation.
1. Every message is answered by itself: there are no sessions, nothing is pushed, and any replica answers any
   message. So `GET` and `DELETE` are 405, which the protocol allows a server to say.
2. A message is JSON-RPC 2.0. What the protocol is asked wrongly is a JSON-RPC error; what a tool cannot do is
   a result that says so (`isError`), which a model can read and mend.
3. Who asks is checked as for every endpoint, and each tool needs the word of the endpoint it stands for, so
   that a key reaches nothing here that it does not reach there. A page must be listed (`mcp.origins`): a
   browser could otherwise be led to a gateway on its own machine.
4. Tools of others are not run from here (SECURITY.md S-02).

Source: Model Context Protocol, specification 2025-06-18 and 2025-03-26: lifecycle, transports, tools.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import strict
from turnout.config.mcp import McpConfig
from turnout.errors import Forbidden, InvalidRequest, NotFound, TurnoutError
from turnout.server.auth import check_use
from turnout.server.http import JSON_TYPE, respond
from turnout.server.mcp_tools import TOOLS, Asker, McpTools
from turnout.server.paths import Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.json import Json, JsonObject

VERSIONS: Final = ("2025-06-18", "2025-03-26")
"""Of the protocol, newest first."""
ASSUMED: Final = "2025-03-26"
"""Of a client that names none with its messages."""
MOST_IN_BATCH: Final = 32
PARSE_ERROR, INVALID, NO_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602
_INSTRUCTIONS: Final = (
    "This gateway chooses a language model for each request. Ask `route` which model a request would go to, "
    "`recommend` for a ranking under constraints, `explain` why a request was decided as it was, and `usage` "
    "for what this key has spent and may still spend. Nothing is sent to a model."
)
_encode = msgspec.json.Encoder().encode


class RpcError(Exception):
    """A message that cannot be served.

    Attributes:
        code: Of JSON-RPC.
        message: What was wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Rpc(Struct, frozen=True):
    """One message of a client."""

    method: str
    params: Mapping[str, Json]
    id: str | int | None
    """None = nobody waits for an answer."""


class Mcp:
    """The endpoint at one gateway.

    Attributes:
        tools: What it offers.
    """

    def __init__(self, steps: Steps, tools: McpTools, config: Callable[[], McpConfig]) -> None:
        self._steps = steps
        self.tools = tools
        self._config = config

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the path."""
        paths.add_root("/mcp", self._serve, ("POST",))

    async def _serve(self, visit: Visit) -> None:
        self._steps.enter(visit, "mcp")
        config = self._config()
        if not config.enabled:
            raise NotFound("the tool server is off at this gateway; its operator can set mcp.enabled")
        fields = dict(visit.scope["headers"])
        origin = fields.get(b"origin")
        if origin is not None and origin.decode("latin-1") not in config.origins:
            raise Forbidden("pages of this origin may not ask here; see mcp.origins")
        spoken = fields.get(b"mcp-protocol-version", ASSUMED.encode()).decode("latin-1")
        if spoken not in VERSIONS:
            raise InvalidRequest(
                f"mcp-protocol-version is not served; expected one of {', '.join(VERSIONS)}",
                param="mcp-protocol-version",
            )
        raw = await self._steps.body(visit)
        asker = Asker(visit.inbound, visit.principal, visit.request_id, visit.address)
        status, told = await self._answer(raw, asker, batches=spoken == ASSUMED)
        ids = self._steps.ids(visit.request_id)
        if told is None:
            await respond(visit.send, 202, ids, b"")
        else:
            await respond(visit.send, status, [JSON_TYPE, *ids], _encode(told))

    async def _answer(self, raw: bytes, asker: Asker, *, batches: bool) -> tuple[int, Json]:
        """Return the status and what is answered; None = nobody waits for anything."""
        if not (batches and raw.lstrip()[:1] == b"["):
            return await self._one(raw, asker)
        try:
            messages = msgspec.json.decode(raw, type=list[Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return 400, _failed(None, RpcError(PARSE_ERROR, "the body is not valid JSON"))
        if not 0 < len(messages) <= MOST_IN_BATCH:
            return 400, _failed(None, RpcError(INVALID, f"a batch holds 1 to {MOST_IN_BATCH} messages"))
        answers = [(await self._one(bytes(each), asker))[1] for each in messages]
        waited = [each for each in answers if each is not None]
        return 200, waited or None

    async def _one(self, raw: bytes, asker: Asker) -> tuple[int, Json]:
        try:
            message = _read(raw)
        except RpcError as error:
            return 400, _failed(None, error)
        if message is None:
            return 202, None
        try:
            result = await self._result(message, asker)
        except RpcError as error:
            return 200, None if message.id is None else _failed(message.id, error)
        if message.id is None:
            return 202, None
        return 200, {"jsonrpc": "2.0", "id": message.id, "result": result}

    async def _result(self, message: Rpc, asker: Asker) -> Json:
        """Return the result of one request. Raises `RpcError`."""
        match message.method:
            case "initialize":
                return _welcome(message.params)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [tool.shown for tool in TOOLS.values()]}
            case "tools/call":
                return await self._call(message.params, asker)
            case method if method.startswith("notifications/"):
                return {}
            case method:
                raise RpcError(NO_METHOD, f"there is no method {method[:64]!r} here")

    async def _call(self, params: Mapping[str, Json], asker: Asker) -> Json:
        name, arguments = params.get("name"), params.get("arguments") or {}
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None:
            raise RpcError(BAD_PARAMS, f"there is no such tool; there are {', '.join(TOOLS)}")
        if not isinstance(arguments, Mapping):
            raise RpcError(BAD_PARAMS, "arguments: expected an object")
        try:
            given = strict.convert(arguments, tool.takes, "arguments")
        except InvalidRequest as error:
            raise RpcError(BAD_PARAMS, error.message) from None
        try:
            check_use(asker.principal, tool.endpoint, asker.address)
            found = await self.tools.call(given, asker)
        except TurnoutError as error:
            told = {"error": {"class": error.row.word, "message": error.message, "param": error.param}}
            return {"content": [_text(told)], "isError": True}
        return {"content": [_text(found)], "structuredContent": found, "isError": False}


def _read(raw: bytes) -> Rpc | None:
    """Read one message; None = a client's answer, to which nothing is said. Raises `RpcError`."""
    try:
        tree = strict.parse(raw)
    except InvalidRequest as error:
        raise RpcError(PARSE_ERROR, error.message) from None
    method, params, message_id = tree.get("method"), tree.get("params") or {}, tree.get("id")
    if tree.get("jsonrpc") != "2.0":
        raise RpcError(INVALID, 'jsonrpc: expected "2.0"')
    if method is None and ("result" in tree or "error" in tree):
        return None
    if not isinstance(method, str) or not isinstance(params, Mapping):
        raise RpcError(INVALID, "expected method, a string, and params, an object")
    if "id" in tree and (not isinstance(message_id, str | int) or isinstance(message_id, bool)):
        raise RpcError(INVALID, "id: expected a string or an integer")
    return Rpc(method, params, message_id if isinstance(message_id, str | int) else None)


def _welcome(params: Mapping[str, Json]) -> JsonObject:
    """Answer `initialize`: with the client's version of the protocol, or else with ours."""
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "turnout", "title": "Turnout gateway", "version": version("turnout")},
        "instructions": _INSTRUCTIONS,
    }


def _failed(message_id: str | int | None, error: RpcError) -> JsonObject:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": error.code, "message": error.message}}


def _text(tree: Json) -> JsonObject:
    return {"type": "text", "text": _encode(tree).decode()}
