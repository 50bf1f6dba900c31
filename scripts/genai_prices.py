"""Read the price list inside a genai-prices wheel without importing or running it.

The list is a Python file of nested constructor calls with literal arguments. `_value` turns such a call into
a plain dict (`""` holds the constructor's name), so nothing of the package is executed.
"""

import ast
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from turnout.catalog.prices import InexactPriceError, UsdPrice
from turnout.catalog.vendors import find_vendor
from turnout.types.usage import Price

Node = Mapping[str, object]

DATA: Final = "genai_prices/data.py"
WITHOUT_VENDOR: Final = {"aws": "bedrock"}
_PER_THOUSAND: Final = Decimal(1000)
_MTOK_FIELDS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_in": "input_audio_mtok",
    "audio_out": "output_audio_mtok",
}
_TIER_FIELDS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}


class Listed(Struct, frozen=True):
    """One model of the list."""

    name: str
    matches: Callable[[str], bool]
    price: Price | None
    context_window: int | None
    deprecated: bool


class Listing(Struct, frozen=True):
    """All models of one vendor, in the order in which they are matched."""

    vendor: str
    models: tuple[Listed, ...]

    def find(self, name: str) -> Listed | None:
        """Return the model with this name: the same name first, else the first whose rule matches."""
        exact = next((model for model in self.models if model.name == name), None)
        return exact or next((model for model in self.models if model.matches(name)), None)


def read_wheel(wheel: Path, as_of: str) -> Mapping[str, Listing]:
    """Return the listing of every vendor Turnout knows, with the prices in force on a day."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read(DATA))
    assigned = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign))
    providers = _value(assigned) if assigned else []
    found = {}
    for provider in _nodes(providers):
        name = str(provider["id"])
        known = find_vendor(name)
        vendor = known.name if known else WITHOUT_VENDOR.get(name)
        if vendor:
            models = tuple(_listed(model, as_of) for model in _nodes(provider["models"]))
            found[vendor] = Listing(vendor, models)
    return found


def _listed(node: Node, as_of: str) -> Listed:
    window = node.get("context_window")
    return Listed(
        name=str(node["id"]),
        matches=_rule(node["match"]),
        price=_price(node["prices"], as_of),
        context_window=window if isinstance(window, int) else None,
        deprecated=node.get("deprecated") is True,
    )


def _price(prices: object, as_of: str) -> Price | None:
    in_force = [node for node in _nodes(prices) if _applies(node.get("constraint"), as_of)]
    if isinstance(prices, dict):
        chosen: object = prices
    elif in_force:
        # The last one that applies is in force; prices by hour of the day are kept at their dearest.
        hours = [node for node in in_force if _kind(node.get("constraint")) == "TimeOfDateConstraint"]
        chosen = (hours or in_force)[-1].get("prices")
    else:
        return None
    if not isinstance(chosen, dict):
        return None
    try:
        return _exact(chosen)
    except InexactPriceError:
        return None


def _applies(constraint: object, as_of: str) -> bool:
    start = constraint.get("start_date") if isinstance(constraint, dict) else None
    return start is None or str(start) <= as_of


def _exact(node: Node) -> Price | None:
    base = {ours: _base(node.get(theirs)) for ours, theirs in _MTOK_FIELDS.items()}
    if base["input"] is None:
        return None
    base["output"] = base["output"] or Decimal(0)
    starts = {start for theirs in _TIER_FIELDS.values() for start in _starts(node.get(theirs))}
    written = {
        **base,
        "per_request": _per_unit(node.get("requests_kcount")),
        "per_search": _per_unit(node.get("web_searches_kcount")),
        "tiers": [_tier(node, start, base) for start in sorted(starts)],
    }
    return msgspec.convert(written, UsdPrice).exact()


def _tier(node: Node, start: int, base: Mapping[str, Decimal | None]) -> Mapping[str, object]:
    at = {ours: _at(node.get(theirs), start) for ours, theirs in _TIER_FIELDS.items()}
    kept = {ours: price or base[ours] for ours, price in at.items() if ours in {"input", "output"}}
    return {**at, **kept, "above_input_tokens": start}


def _base(value: object) -> Decimal | None:
    if isinstance(value, dict):
        value = value.get("base")
    return value if isinstance(value, Decimal) else None


def _starts(value: object) -> list[int]:
    tiers = value.get("tiers") if isinstance(value, dict) else None
    return [start for tier in _nodes(tiers) if isinstance(start := tier.get("start"), int)]


def _at(value: object, start: int) -> Decimal | None:
    tiers = value.get("tiers") if isinstance(value, dict) else None
    found = next((tier.get("price") for tier in _nodes(tiers) if tier.get("start") == start), None)
    return found if isinstance(found, Decimal) else None


def _per_unit(value: object) -> Decimal | None:
    return value / _PER_THOUSAND if isinstance(value, Decimal) else None


def _rule(node: object) -> Callable[[str], bool]:
    if not isinstance(node, dict):
        return lambda _: False
    args = {key.rstrip("_"): value for key, value in node.items() if key}
    ((kind, value),) = args.items()
    if isinstance(value, str):
        pattern = {
            "equals": re.escape(value),
            "starts_with": re.escape(value) + ".*",
            "ends_with": ".*" + re.escape(value),
            "contains": f".*{re.escape(value)}.*",
            "regex": f".*({value}).*",
        }[kind]
        return lambda name: re.fullmatch(pattern, name, re.IGNORECASE) is not None
    rules = [_rule(inner) for inner in _nodes(value)]
    combine = any if kind == "or" else all
    return lambda name: combine(rule(name) for rule in rules)


def _kind(node: object) -> object:
    return node.get("") if isinstance(node, dict) else None


def _nodes(value: object) -> Sequence[Node]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key}
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=str(text))]):
            return Decimal(text)
        case ast.Call(func=ast.Attribute(attr="date"), args=parts):
            return "-".join(f"{_value(part):02}" for part in parts)
        case ast.Call(func=ast.Name(id=name), keywords=keywords):
            return {"": name, **{word.arg: _value(word.value) for word in keywords if word.arg}}
    return ast.unparse(node)
