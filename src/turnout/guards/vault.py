"""Values taken out of a request, and put back into its answer. Floor 2.

Theory of operation.

1. A value becomes a placeholder such as `<EMAIL_1>`: the same value the same placeholder, in the order of
   first sight, so that a conversation sent again reads the same and provider caches hold.
2. A placeholder that stood in the request's own text is never given out: a text cannot name another's value.
   Placeholders hold `<` at the start only, so no two can overlap and nothing between them can make a third.
3. In a stream the end of the text is held back only while it is the beginning of a placeholder given out.
4. The vault lives with one request, in memory. It is never written anywhere.
"""

import re
from typing import Final

import msgspec

PLACEHOLDER: Final = re.compile(r"<[A-Z][A-Z0-9_]{0,40}_[0-9]{1,6}>", re.ASCII)


class Vault:
    """The values of one request."""

    __slots__ = ("_counts", "_names", "_taken", "_values")

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Vault({len(self._values)} values)"

    def reserve(self, text: str) -> None:
        """Note a text of the request: what looks like a placeholder in it is not given out."""
        if "<" in text:
            self._taken.update(PLACEHOLDER.findall(text))

    def hide(self, kind: str, value: str) -> str:
        """Return the placeholder of a value."""
        name = self._names.get((kind, value))
        if name is None:
            while True:
                n = self._counts[kind] = self._counts.get(kind, 0) + 1
                name = f"<{kind.upper()}_{n}>"
                if name not in self._taken:
                    break
            self._names[kind, value] = name
            self._values[name] = value
        return name

    def restore(self, text: str, *, quoted: bool = False) -> str:
        """Return a text with the values in their places.

        Args:
            text: What a model wrote.
            quoted: The text is JSON, and a value stands inside a string of it.
        """
        if "<" not in text or not self._values:
            return text
        return PLACEHOLDER.sub(lambda match: self._value(match[0], quoted=quoted), text)

    def mask(self, text: str) -> str:
        """Return a text with the placeholders in place of the values again: what may be stored."""
        for name, value in sorted(self._values.items(), key=_longest_first):
            text = text.replace(value, name)
        return text

    def is_begun(self, tail: str) -> bool:
        """Tell whether a text is the beginning of a placeholder, and not all of it."""
        return any(len(tail) < len(name) and name.startswith(tail) for name in self._values)

    def _value(self, name: str, *, quoted: bool) -> str:
        value = self._values.get(name)
        if value is None:
            return name
        return msgspec.json.encode(value).decode()[1:-1] if quoted else value


def _longest_first(item: tuple[str, str]) -> int:
    return -len(item[1])


class Restorer:
    """Puts values back into a text that arrives in parts."""

    __slots__ = ("_held", "_quoted", "_vault")

    def __init__(self, vault: Vault, *, quoted: bool = False) -> None:
        self._vault = vault
        self._quoted = quoted
        self._held = ""

    def feed(self, text: str) -> str:
        """Take more text; return what can be handed out."""
        text = self._held + text
        at = text.rfind("<")
        if at >= 0 and self._vault.is_begun(text[at:]):
            text, self._held = text[:at], text[at:]
        else:
            self._held = ""
        return self._vault.restore(text, quoted=self._quoted)

    def end(self) -> str:
        """Return what was held back: no placeholder after all."""
        held, self._held = self._held, ""
        return held
