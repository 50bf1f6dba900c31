"""The vendors Turnout knows without configuration: rows of vendors.toml as `Vendor`. Floor 1.

A row is all there is to an OpenAI-compatible vendor. Rows are read the first time one is asked for.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pkgutil import get_data
from typing import Final
from urllib.parse import urlsplit

import msgspec

from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.types.deployment import Quirks, Vendor

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_DEFAULT_CODEC: Final = "openai_chat"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@cache
def vendors() -> Mapping[str, Vendor]:
    """Return every known vendor by its name."""
    data = get_data("turnout.catalog", "vendors.toml") or b""
    return parse_vendors(data.decode(), "vendors.toml")


def find_vendor(name: str) -> Vendor | None:
    """Return the vendor with this name or alias, or None."""
    known = vendors()
    return known.get(name) or known.get(_aliases().get(name, ""))


def vendor(name: str) -> Vendor:
    """Return the vendor with this name or alias.

    Raises:
        ConfigError: There is none; the message suggests the nearest name.
    """
    found = find_vendor(name)
    if found is None:
        hint = did_you_mean(name, [*vendors(), *_aliases()])
        raise ConfigError((f"no vendor {name!r}{hint or '; give it a base_url and a codec'}",))
    return found


def maker_of(model: str) -> Vendor | None:
    """Return the vendor whose own model a bare id names (`claude-…`), or None. The longest prefix decides."""
    makers = [(prefix, row) for row in vendors().values() for prefix in row.makes if model.startswith(prefix)]
    return max(makers, key=lambda pair: len(pair[0]))[1] if makers else None


def placeholders(base_url: str) -> tuple[str, ...]:
    """Return the parts of an address that the operator must give: `("resource",)` for Azure, () for most."""
    return tuple(_PLACEHOLDER.findall(base_url))


def is_free(name: str) -> bool:
    """Tell whether a `provider/model` runs on the user's own machine, so that a call costs nothing.

    True only for the servers in vendors.toml that stand on a loopback address. Ollama serves names that end
    in `-cloud` itself, for money (https://docs.ollama.com/cloud, seen 2026-11-22).
    """
    row = find_vendor(name.partition("/")[0])
    return row is not None and urlsplit(row.base_url).hostname in _LOOPBACK and not name.endswith("-cloud")


def parse_vendors(text: str, where: str) -> Mapping[str, Vendor]:
    """Read rows in the format of vendors.toml.

    Raises:
        ConfigError: Naming each row and key that cannot be used.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{where} is not TOML: {error}",)) from error
    problems: list[str] = []
    rows: dict[str, Vendor] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"{where}: {name} is not a table; expected [{name}]")
            continue
        problems += _unknown_keys(where, name, table)
        try:
            rows[name] = msgspec.convert({"codec": _DEFAULT_CODEC, **table, "name": name}, Vendor)
        except msgspec.ValidationError as error:
            problems.append(f"{where}: [{name}] {error}")
    if problems:
        raise ConfigError(tuple(problems))
    return rows


@cache
def _aliases() -> Mapping[str, str]:
    return {alias: row.name for row in vendors().values() for alias in row.aliases}


def _unknown_keys(where: str, name: str, table: dict[str, object]) -> list[str]:
    quirks = table.get("quirks", {})
    inner = quirks if isinstance(quirks, dict) else {}
    return [
        f"{where}: [{name}] has an unknown key {key!r}{did_you_mean(key, known)}"
        for keys, known in ((table, Vendor.__struct_fields__), (inner, Quirks.__struct_fields__))
        for key in keys
        if key not in known
    ]
