"""Runs a client's features against a gateway and prints what the client saw: one JSON object a line.

Runs in the client's own environment, with the standard library alone beside the client. A driver is a class
made with the gateway's address and a key; each feature it has is a method that returns plain values:

    chat(model)        {"text", "stop", "tokens": [input, output]}
    stream(model)      the same, and "streamed": whether it came in more than a few pieces
    tools(model)       {"call": [name, arguments], "text": the answer to the tool's result}
    image(model)       {"text"}
    structured(model)  the object itself
    embeddings(model)  [vectors, dimensions]
    count(model)       number of tokens
    models()           the first names of the list
    leave(model, leaving)  start a stream, take a piece, call `leaving`, leave
"""

import json
import sys
from functools import partial

QUESTION = "What is the weather in Paris?"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
TOOL = {
    "name": "weather",
    "description": "Weather of a city.",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
RESULT = "22 degrees"
BY_UPSTREAM = ("chat", "stream", "tools", "image", "structured", "embeddings", "count")
FAULTS = ("limited", "overloaded", "context")
FEW = 3
SHORT_S = 0.4


def run(driver) -> None:
    """Run every feature that the driver has against every upstream."""
    base, key, upstreams = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    client = driver(base, key)
    for upstream in upstreams:
        for feature in BY_UPSTREAM:
            if hasattr(driver, feature):
                model = f"{upstream}/vectors" if feature == "embeddings" else f"{upstream}/one"
                tell(feature, upstream, getattr(client, feature), model)
        for fault in FAULTS:
            tell(fault, upstream, client.chat, f"{upstream}/{fault}")
        tell("timeout", upstream, driver(base, key, timeout_s=SHORT_S).chat, f"{upstream}/hang")
        if hasattr(driver, "leave"):
            tell(
                "cancel", upstream, client.leave, f"{upstream}/slow", partial(say, "leaving", upstream, True)
            )
    if hasattr(driver, "models"):
        tell("models", "", client.models)
    tell("unauthenticated", "", driver(base, "tn_wrong").chat, f"{upstreams[0]}/one")
    tell("not_found", "", client.chat, f"{upstreams[0]}/onee")


def tell(feature, upstream, method, *arguments) -> None:
    """Print what a feature gave or raised."""
    try:
        say(feature, upstream, method(*arguments))
    except Exception as error:  # noqa: BLE001  whatever a client raises is its verdict
        say(feature, upstream, raised(error))


def raised(error) -> dict:
    """Describe an error as a program can tell it: its class and its status, or that of its cause."""
    told = {"raised": type(error).__name__, "status": None, "message": str(error)[:400]}
    while error is not None:
        statuses = [getattr(error, name, None) for name in ("status_code", "code", "status")]
        told["status"] = next((found for found in statuses if isinstance(found, int)), None)
        error = None if told["status"] else error.__cause__
    return told


def say(feature, upstream, value) -> None:
    """Print one verdict."""
    print(json.dumps({"feature": feature, "upstream": upstream, "value": value}), flush=True)  # noqa: T201  this is how it reports
