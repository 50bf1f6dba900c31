"""Which endpoint a method and a path mean. Floor 6.

One dictionary maps (method, path) to an endpoint object; aliases map to the same object, so that there is
one authorisation check per endpoint and nothing reads a URL as text (S-06). Paths whose end is an id are
found by their prefix.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")
OPENAI, ANTHROPIC, GEMINI = "openai_chat", "anthropic", "gemini"
RESPONSES, COMPLETIONS = "openai_responses", "openai_completions"
COHERE, OLLAMA, GENERATE = "cohere", "ollama", "ollama_generate"
SHARED = "openai_or_gemini"
"""Where two formats have the same path, and headers tell their clients apart."""
_BASES: Mapping[str, tuple[str, ...]] = {
    OPENAI: ("/v1", "", "/openai/v1", "/api/v1"),
    SHARED: ("/v1", "", "/openai/v1", "/api/v1"),
    RESPONSES: ("/v1", "", "/openai/v1", "/api/v1"),
    ANTHROPIC: ("/v1", "", "/anthropic/v1"),
    GEMINI: ("/v1beta", "/v1"),
    COHERE: ("/v2",),
    OLLAMA: ("/api",),
    GENERATE: ("/api",),
}
"""Dialect -> where clients look for it (docs/design/WIRE.md section 1)."""
_SPOKEN_UNDER = (
    ("/v1/responses", RESPONSES),
    ("/responses", RESPONSES),
    ("/v1/conversations", RESPONSES),
    ("/v1/messages", ANTHROPIC),
    ("/messages", ANTHROPIC),
    ("/anthropic/", ANTHROPIC),
    ("/v1beta/", GEMINI),
    ("/v1beta1/", GEMINI),
    ("/v2/", COHERE),
    ("/api/v1/", OPENAI),
    ("/api/", OLLAMA),
)
"""Beginnings of paths that tell the client's dialect, also where there is no endpoint."""

_TWICE = "/v1/v1/"
"""Begins the paths of a client that adds `/v1` to a base URL that has it already."""


class Found(NamedTuple, Generic[V]):
    """An endpoint, the dialect its errors speak, and the id at the end of the path."""

    endpoint: Callable[[V], Awaitable[None]]
    dialect: str
    rest: str = ""


class _Beneath(NamedTuple, Generic[V]):
    """What serves paths that begin alike."""

    method: str
    prefix: str
    ending: str | None
    """What follows the segment that is an id, `*` for one more of them; what begins otherwise than with `/`
    ends a name that may hold `/`. None = any segments."""
    found: Found[V]

    def serves(self, path: str) -> bool:
        if not path.startswith(self.prefix) or len(path) == len(self.prefix):
            return False
        if self.ending is None:
            return True
        if not self.ending.startswith("/") and self.ending:
            return path.endswith(self.ending) and len(path) > len(self.prefix) + len(self.ending)
        name, *given = path[len(self.prefix) :].split("/")
        wanted = self.ending.split("/")[1:]
        if not name or len(given) != len(wanted):
            return False
        return all(
            is_ == want or (want == "*" and is_ != "") for is_, want in zip(given, wanted, strict=True)
        )


class Paths(Generic[V]):
    """The routing table."""

    __slots__ = ("_exact", "_prefixes", "_whole")

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Found[V]] = {}
        self._whole: set[str] = set()
        """Paths that stand for themselves: beneath no other, whatever the method."""
        self._prefixes: list[_Beneath[V]] = []

    def add(self, method: str, path: str, endpoint: Callable[[V], Awaitable[None]], dialect: str) -> None:
        """Serve a path under every base of its dialect.

        One that ends in `/` is a prefix, the rest an id that may itself hold `/`. In one with a `*`, or two,
        each stands for an id, and what the endpoint gets is the first with whatever follows it.
        """
        start, star, ending = path.partition("*")
        for base in _BASES[dialect]:
            if star or path.endswith("/"):
                beneath = _Beneath(method, base + start, ending if star else None, Found(endpoint, dialect))
                self._prefixes.append(beneath)
            else:
                self._exact[method, base + path] = Found(endpoint, dialect)
                self._whole.add(base + path)

    def add_under(
        self,
        path: str,
        endpoint: Callable[[V], Awaitable[None]],
        dialect: str,
        methods: Sequence[str] = ("POST",),
    ) -> None:
        """Serve what is under a path and nothing else is found for."""
        self._prefixes += [_Beneath(method, path, None, Found(endpoint, dialect)) for method in methods]

    def add_root(
        self,
        path: str,
        endpoint: Callable[[V], Awaitable[None]],
        methods: Sequence[str] = ("GET", "HEAD"),
        dialect: str = OPENAI,
    ) -> None:
        """Serve a path as it stands."""
        self._whole.add(path)
        for method in methods:
            self._exact[method, path] = Found(endpoint, dialect)

    def find(self, method: str, path: str) -> Found[V] | None:
        """Return what serves this; None = nothing does."""
        found = self._exact.get((method, path))
        if found is not None or path in self._whole:
            return found
        for each in self._prefixes:
            if method == each.method and each.serves(path):
                return Found(each.found.endpoint, each.found.dialect, path[len(each.prefix) :])
        return None

    def methods(self, path: str) -> list[str]:
        """Return the methods that are served at a path."""
        exact = {method for method, known in self._exact if known == path}
        return sorted(exact or {each.method for each in self._prefixes if each.serves(path)})


def dialect_of(path: str) -> str:
    """Return the dialect a client speaks, as far as the path tells it."""
    path = path[len("/v1") :] if path.startswith(_TWICE) else path
    return next((dialect for start, dialect in _SPOKEN_UNDER if path.startswith(start)), OPENAI)


def no_such(method: str, path: str, methods: Sequence[str] = ()) -> str:
    """Say that nothing serves a path, or not by this method."""
    said = f"no such endpoint: {method[:16]} {path[:200]}"
    if methods:
        return f"{said}; use {' or '.join(methods)}"
    return f"{said}; leave /v1 out of the client's base URL" if path.startswith(_TWICE) else said
