"""Links to hosts that are not allowed: how an injected answer carries data away. Floor 2."""

import re
from typing import ClassVar

from msgspec import Struct

from turnout.guards.base import BOTH, Context, Finding, Stage, plain

_LINK = re.compile(
    r"(?i:https?|wss?|ftp)://[^\s<>\"'`)\]}|\\]{1,400}|(?<![\w:/.])//[a-z0-9][^\s<>\"'`)\]}|\\]{3,400}"
)


class Links(Struct, frozen=True, kw_only=True, tag_field="type", tag="links"):
    """Finds links whose host is not on the list."""

    allow: tuple[str, ...] = ()
    """Hosts, with everything beneath them; empty = no host is allowed."""

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Word for Records."""
        return "links"

    @property
    def hold_back(self) -> int:
        """Characters of the longest link."""
        return 410

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the links that lead elsewhere."""
        shown = plain(text)
        links = _LINK.finditer(shown.text)
        return shown.back(Finding(m.start(), m.end(), "link") for m in links if not self._is_allowed(m[0]))

    def _is_allowed(self, link: str) -> bool:
        authority = re.split(r"[/?#\\]", link.partition("//")[2], maxsplit=1)[0]
        if "@" in authority:
            return False  # what stands before @ is made to be read as the host
        host = authority.partition(":")[0].rstrip(".").lower()
        return any(host == each.lower() or host.endswith("." + each.lower()) for each in self.allow)
