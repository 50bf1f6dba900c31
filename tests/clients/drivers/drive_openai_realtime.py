"""Speaks with a gateway as OpenAI's own client does. Arguments: address, key."""

import json
import sys

from openai import OpenAI
from openai.types.realtime import ResponseDoneEvent


def tell(seen: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(seen) + "\n")


def main(url: str, key: str) -> None:
    sockets = f"{url}/v1".replace("http", "ws", 1)
    client = OpenAI(base_url=f"{url}/v1", websocket_base_url=sockets, api_key=key)
    with client.realtime.connect(model="oai/talk") as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        part = {"type": "input_text", "text": "one two three"}
        connection.conversation.item.create(item={"type": "message", "role": "user", "content": [part]})
        connection.response.create()
        said, kinds = "", []
        for event in connection:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                said += event.delta
            if isinstance(event, ResponseDoneEvent):
                usage = event.response.usage
                tell({"said": said, "tokens": [usage.input_tokens, usage.output_tokens]})
                break
        tell({"kinds": list(dict.fromkeys(kinds))})
    refused = OpenAI(base_url=f"{url}/v1", websocket_base_url=sockets, api_key="tn_wrong")
    try:
        with refused.realtime.connect(model="oai/talk"):
            tell({"refused": False})
    except Exception as error:  # noqa: BLE001  whatever the client's library raises
        tell({"refused": "401" in str(error)})


main(*sys.argv[1:])
