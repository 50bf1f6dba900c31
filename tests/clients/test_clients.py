"""Unmodified official clients against the running gateway, whichever vendor answers.

Each row is what a client calls things; everything else is the same for all of them. What a client sees is
compared whole: a feature that it has and that fails, or a new one that nobody expected, is a failure.
"""

import json
import os
from pathlib import Path

import pytest
from msgspec import Struct

from tests.clients.kit import HERE, UPSTREAMS, drive, running

SAID = "This is an emulated answer of {}-one. You wrote 2 characters, beginning: Hi"
TOKENS = [1, 19]
CITY = {"name": "example", "population": 1}
ALL = ("chat", "stream", "tools", "image", "structured", "embeddings", "count", "models", "cancel")
HTTP = {"limited": 429, "overloaded": 503, "context": 400, "unauthenticated": 401, "not_found": 404}


class Client(Struct, frozen=True, kw_only=True):
    """What a client's driver has and what it calls things."""

    environment: str
    provider: str = ""
    lacks: tuple[str, ...] = ()
    """Of `ALL`."""
    stop: str = "stop"
    errors: dict[str, str]
    """Feature, feature@upstream, or `*` for any other -> class."""
    overloaded: int = 503
    """Status of an overload, which is 529 in Anthropic's dialect."""
    missing: int = 404
    """Status of a model nobody has, which is 400 on OpenAI's responses."""
    result: str = "22 degrees"
    """A tool's result as it reaches the model."""
    prefix: str = ""
    """Of names in its list of models."""
    streams_tokens: bool = True

    @property
    def name(self) -> str:
        return f"{self.environment}{'-' if self.provider else ''}{self.provider}"

    def failure(self, feature: str, upstream: str = "") -> dict[str, object]:
        """What a failed call looks like."""
        statuses = HTTP | {"overloaded": self.overloaded, "not_found": self.missing, "embeddings": 404}
        names = (f"{feature}@{upstream}", feature, "*")
        raised = next(self.errors[name] for name in names if name in self.errors)
        return {"raised": raised, "status": statuses.get(feature)}

    def expected(self) -> dict[str, dict[str, object]]:
        """Everything its driver should report."""
        found = {feature: {} for feature in (*ALL, *HTTP, "timeout", "leaving") if feature not in self.lacks}
        for upstream in UPSTREAMS:
            for feature, value in self.on(upstream).items():
                if feature in found:
                    found[feature][upstream] = value
        for feature in ("unauthenticated", "not_found"):
            found[feature] = {"": self.failure(feature)}
        if "models" in found:
            names = ("oai/one", "oai/limited", "oai/overloaded")
            found["models"] = {"": [self.prefix + name for name in names]}
        if "cancel" in self.lacks:
            del found["leaving"]
        return found

    def on(self, upstream: str) -> dict[str, object]:
        """What its features give against one upstream."""
        chat = {"text": SAID.format(upstream), "stop": self.stop, "tokens": TOKENS}
        stream = chat | {"streamed": True}
        if not self.streams_tokens:
            del stream["tokens"]
        return {
            "chat": chat,
            "stream": stream,
            "tools": {"call": ["weather", {"city": "example"}], "text": f"The tool said: {self.result}"},
            "image": {"text": "I see image/png of 69 bytes"},
            "structured": CITY,
            "embeddings": self.failure("embeddings") if upstream in ("ant", "res") else [2, 32],
            "count": 8,
            "limited": self.failure("limited"),
            "overloaded": self.failure("overloaded"),
            "context": self.failure("context", upstream),
            "timeout": self.failure("timeout") | {"cancelled": True},
            "leaving": True,
            "cancel": True,
        }


OPENAI_ERRORS = {
    "limited": "RateLimitError",
    "overloaded": "InternalServerError",
    "context": "BadRequestError",
    "unauthenticated": "AuthenticationError",
    "not_found": "NotFoundError",
    "timeout": "APITimeoutError",
    "embeddings": "NotFoundError",
}
LANGCHAIN_ERRORS = {
    "limited": "OpenAIRateLimitError",
    "overloaded": "OpenAIAPIError",
    "context": "OpenAIContextOverflowError",
    "unauthenticated": "OpenAIAuthenticationError",
    "not_found": "OpenAIModelNotFoundError",
    "embeddings": "NotFoundError",
    "timeout": "OpenAITimeoutError",
}
PYDANTIC_ERRORS = {
    "limited": "ModelRateLimitError",
    "overloaded": "ModelOverloadedError",
    "context": "ModelContextWindowExceededError",
    "unauthenticated": "ModelAuthenticationError",
    "not_found": "ModelNotFoundError",
    "timeout": "ModelTimeoutError",
    "*": "ModelHTTPError",
}
ANTHROPIC_ERRORS = OPENAI_ERRORS | {"overloaded": "OverloadedError"}
GOOGLE_ERRORS = {"overloaded": "ServerError", "timeout": "ReadTimeout", "*": "ClientError"}
COHERE_ERRORS = {
    "limited": "TooManyRequestsError",
    "overloaded": "ServiceUnavailableError",
    "context": "BadRequestError",
    "unauthenticated": "UnauthorizedError",
    "not_found": "NotFoundError",
    "embeddings": "NotFoundError",
    "timeout": "ReadTimeout",
}
IN_NODE = {"timeout": "APIConnectionTimeoutError"}
VERCEL_ERRORS = {"timeout": "DOMException", "*": "APICallError"}

CLIENTS = (
    Client(environment="python-openai", errors=OPENAI_ERRORS, lacks=("count",)),
    Client(
        environment="python-openai",
        provider="responses",
        stop="completed",
        errors=OPENAI_ERRORS | {"not_found": "BadRequestError"},
        missing=400,
        lacks=("embeddings", "count", "models"),
    ),
    Client(
        environment="python-anthropic",
        stop="end_turn",
        errors=ANTHROPIC_ERRORS,
        overloaded=529,
        lacks=("embeddings",),
    ),
    Client(environment="python-google-genai", stop="STOP", errors=GOOGLE_ERRORS, prefix="models/"),
    Client(
        environment="python-mistralai",
        errors={"timeout": "ReadTimeout", "*": "SDKError"},
        streams_tokens=False,
        lacks=("count",),
    ),
    Client(environment="python-langchain-openai", errors=LANGCHAIN_ERRORS, lacks=("count", "models")),
    Client(environment="python-pydantic-ai", errors=PYDANTIC_ERRORS, lacks=("embeddings", "count", "models")),
    Client(environment="python-cohere", stop="COMPLETE", errors=COHERE_ERRORS, lacks=("count", "models")),
    Client(environment="node-openai", errors=OPENAI_ERRORS | IN_NODE, lacks=("count",)),
    Client(
        environment="node-anthropic",
        stop="end_turn",
        errors=ANTHROPIC_ERRORS | IN_NODE,
        overloaded=529,
        lacks=("embeddings",),
    ),
    Client(
        environment="node-google-genai",
        stop="STOP",
        errors={"timeout": "DOMException", "*": "ApiError"},
        prefix="models/",
    ),
    *(
        Client(environment="node-ai", provider=provider, errors=VERCEL_ERRORS, lacks=("count", "models"))
        for provider in ("compatible", "openai")
    ),
    Client(
        environment="node-ai",
        provider="google",
        errors=VERCEL_ERRORS,
        lacks=("count", "models"),
        result='{"name":"weather","content":"22 degrees"}',
    ),
    Client(
        environment="node-ai",
        provider="responses",
        errors=VERCEL_ERRORS,
        missing=400,
        lacks=("embeddings", "count", "models"),
    ),
    Client(
        environment="node-ai",
        provider="anthropic",
        errors=VERCEL_ERRORS,
        overloaded=529,
        lacks=("embeddings", "count", "models"),
    ),
)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_client_works_as_with_its_own_vendor(client):
    async with running() as rig:
        seen = await drive(rig, client.environment, client.provider)
    report(client.name, seen)
    assert without_messages(seen) == client.expected()


async def test_instructor_reads_objects_by_tool_and_by_schema():
    async with running() as rig:
        seen = await drive(rig, "python-instructor")
    report("python-instructor", seen)
    failures = {
        feature: {"raised": "InstructorRetryException", "status": status} for feature, status in HTTP.items()
    }
    said = {"text": json.dumps(CITY, separators=(",", ":")), "stop": "stop"}
    timeout = {"raised": "InstructorRetryException", "status": None, "cancelled": True}
    every = dict.fromkeys
    assert without_messages(seen) == {
        "chat": every(UPSTREAMS, said),
        "stream": every(UPSTREAMS, CITY),
        "tools": every(UPSTREAMS, {"call": ["City", CITY]}),
        "structured": every(UPSTREAMS, CITY),
        "limited": every(UPSTREAMS, failures["limited"]),
        "overloaded": every(UPSTREAMS, failures["overloaded"]),
        "context": every(UPSTREAMS, failures["context"]),
        "timeout": every(UPSTREAMS, timeout),
        "unauthenticated": {"": failures["unauthenticated"]},
        "not_found": {"": failures["not_found"]},
    }


def without_messages(seen: dict) -> dict:
    """Leave out the wording of errors, which is tested where it is made."""
    return {
        feature: {
            upstream: {key: member for key, member in value.items() if key != "message"}
            if isinstance(value, dict)
            else value
            for upstream, value in by.items()
        }
        for feature, by in seen.items()
    }


def report(name: str, seen: dict) -> None:
    """Keep what a client saw for docs/reference/clients.md, where that is wanted."""
    folder = os.environ.get("TURNOUT_CLIENTS_REPORT")
    if folder:
        Path(folder, f"{name}.json").write_text(json.dumps(seen), encoding="utf-8")


def test_every_driver_has_a_row():
    driven = {f"python-{at.stem[6:].replace('_', '-')}" for at in (HERE / "drivers").glob("drive_*.py")}
    driven |= {f"node-{at.parent.name}" for at in (HERE / "node").glob("*/driver.mjs")}
    driven -= {"python-openai-responses"}  # of the same package
    driven -= {"python-openai-realtime", "python-google-live", "python-mcp"}  # `test_sessions`
    assert driven == {client.environment for client in CLIENTS} | {"python-instructor"}
