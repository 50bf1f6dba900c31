"""Asks a gateway's tools as the official MCP client does. Arguments: address, key, id of a served request."""

import asyncio
import json
import sys

import mcp
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


def tell(seen: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(seen) + "\n")


async def main(url: str, key: str, request_id: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        create_mcp_http_client(headers=headers) as http,
        streamable_http_client(f"{url}/mcp", http_client=http) as streams,
        mcp.ClientSession(*streams[:2]) as session,
    ):
        welcome = (await session.initialize()).model_dump(by_alias=True, mode="json")
        tools = (await session.list_tools()).model_dump(by_alias=True, mode="json")["tools"]
        tell({"welcome": [welcome["protocolVersion"], welcome["serverInfo"]["name"]]})
        tell({"tools": [tool["name"] for tool in tools if tool["outputSchema"]]})
        calls = {
            "route": {"prompt": "Hello", "model": "turnout/assistant"},
            "recommend": {"prompt": "Hello", "top_k": 2},
            "explain": {"request_id": request_id},
            "usage": {"days": 1},
            "nothing": {},
        }
        for name, arguments in calls.items():
            try:
                result = await session.call_tool(name, arguments)
            except mcp.MCPError as error:
                tell({name: error.error.code})
                continue
            found = result.model_dump(by_alias=True, mode="json")
            tell({name: found["structuredContent"]})


asyncio.run(main(*sys.argv[1:]))
