"""What differs between two catalogues, in words and as an overlay. Floor 1."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from turnout.catalog.catalog import Catalog, Override
from turnout.catalog.prices import UsdPrice, usd_price
from turnout.types.deployment import Model
from turnout.types.usage import Price

_NOT_FACTS: Final = frozenset({"id", "price", "source", "as_of", "benchmarks"})
"""Fields that `describe` says elsewhere or that say only where a fact was read."""


class Change(Struct, frozen=True):
    """One fact of one model that two catalogues state differently; "" = not known there."""

    model: str
    field: str
    before: str
    after: str


class Difference(Struct, frozen=True):
    """How a second catalogue differs from a first."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]


def describe(model: Model) -> Mapping[str, str]:
    """Return every known fact in words; prices as USD per million tokens, or per unit where named `per_`."""
    facts = {
        field: _words(value)
        for field in model.__struct_fields__
        if field not in _NOT_FACTS and (value := getattr(model, field)) not in (None, (), frozenset())
    }
    if model.price is not None:
        facts |= _price_facts(usd_price(model.price))
    facts |= {f"benchmarks.{name}": str(score) for name, score in sorted(model.benchmarks.items())}
    return facts


def compare(first: Catalog, second: Catalog) -> Difference:
    """Return what a reader of the second would see changed."""
    before, after = set(first.names()), set(second.names())
    return Difference(
        added=tuple(sorted(after - before)),
        removed=tuple(sorted(before - after)),
        changed=tuple(change for name in sorted(before & after) for change in _changes(name, first, second)),
    )


def as_overlay(difference: Difference, first: Catalog, second: Catalog) -> Mapping[str, Override]:
    """Return the overlay that lets the first catalogue say what the second adds and changes.

    What the second lacks stays: an overlay cannot take a model away.
    """
    names = {*difference.added, *(change.model for change in difference.changed)}
    overlay = {}
    for name in sorted(names):
        before, after = first.get(name) or Model(id=name), second.get(name)
        if after is not None:
            overlay[name] = _override(before, after)
    return overlay


def _override(before: Model, after: Model) -> Override:
    said: dict[str, object] = {
        field: getattr(after, field)
        for field in Override.__struct_fields__
        if getattr(after, field) != getattr(before, field)
    }
    if _bare(before.price) == _bare(after.price):
        said.pop("price", None)
    elif after.price is None:
        said["price"] = None
    else:
        said["price"] = usd_price(after.price)
    return msgspec.structs.replace(Override(), **said)


def _bare(price: Price | None) -> Price | None:
    return msgspec.structs.replace(price, source="", as_of="") if price else None


def _changes(name: str, first: Catalog, second: Catalog) -> Iterator[Change]:
    old, new = first.get(name), second.get(name)
    before, after = describe(old) if old else {}, describe(new) if new else {}
    for field in sorted(before.keys() | after.keys()):
        was, is_now = before.get(field, ""), after.get(field, "")
        if was != is_now:
            yield Change(name, field, was, is_now)


def _price_facts(price: UsdPrice) -> dict[str, str]:
    facts = {}
    for field in price.__struct_fields__:
        value = getattr(price, field)
        if value is not None and field not in {"tiers", "source", "as_of"}:
            facts[f"price.{field}"] = _words(value)
    for tier in price.tiers:
        for field in tier.__struct_fields__:
            value = getattr(tier, field)
            if value is not None and field != "above_input_tokens":
                facts[f"price.{field} above {tier.above_input_tokens}"] = _words(value)
    return facts


def _words(value: object) -> str:
    match value:
        case frozenset():
            return ", ".join(sorted(str(item) for item in value))
        case tuple():
            return ", ".join(str(item) for item in value)
    return str(value)
