"""Editions of the catalogue: read one in either format, check it, write one. Floor 1.

Two formats are read: our own (models.json) and the price map of litellm, told apart by their top-level keys.
That map is one of the sources of models.json, not its equal: it names no successors and leaves out whole
providers. It is therefore completed from a catalogue, and a difference is a difference of what it does say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from turnout.catalog import litellm
from turnout.catalog.catalog import Catalog
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.types.deployment import Model
from turnout.types.usage import Price

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_PRICE_FIELDS: Final = frozenset(f"price.{field}" for field in Price.__struct_fields__)
_FIELDS: Final = frozenset(Model.__struct_fields__) - {"id"} | _PRICE_FIELDS
_ADDED: Final = frozenset({"cache_read", "cache_write_5m", "cache_write_1h"})
"""Prices that models.json may have from its second source alone."""
_NOT_IN_MAP: Final = frozenset({"per_request", "per_search", "source", "as_of"})
"""What models.json takes from its second source where that has it."""
_COUNTS: Final = ("context_window", "max_input", "max_output", "embedding_dimensions")


class Edition(Struct, frozen=True):
    """A catalogue read from a file."""

    catalog: Catalog
    refused: tuple[str, ...] = ()
    """Rows of a foreign format that could not be converted, one line each."""


def read_edition(data: bytes, where: str, *, as_of: str, base: Catalog) -> Edition:
    """Read and check an edition. A map of litellm is dated `as_of` and completed from `base`.

    Raises:
        ConfigError: It is neither format, or rows are wrong: one line per problem.
    """
    try:
        top = msgspec.json.decode(data, type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise ConfigError((f"{where} is not a JSON object: {error}",)) from error
    if {"models", "sources"} <= top.keys():
        catalog = Catalog.parse(data, where)
        problems = (*_unknown_fields(top["models"]), *check(catalog))
        if problems:
            raise ConfigError(tuple(f"{where}: {problem}" for problem in problems))
        return Edition(catalog)
    converted = litellm.convert(litellm.read_map(data))
    if not converted.models:
        raise ConfigError((f"{where} names no known model; expected a models.json or litellm's price map",))
    models = _completed(converted.models, base)
    rendered = render(models, {litellm.SOURCE: f"litellm map {where}"}, as_of)
    return Edition(Catalog.parse(rendered, where), converted.refused)


def check(catalog: Catalog) -> tuple[str, ...]:
    """Decode every model of a catalogue and return one line per thing that cannot be true."""
    problems = catalog.check()
    return problems or tuple(problem for model in catalog for problem in _problems(model))


def render(models: Mapping[str, Model], sources: Mapping[str, str], as_of: str) -> bytes:
    """Write a catalogue in our format: one line per model, sorted, without what is at its default."""
    encode = msgspec.json.encode
    head = b'{"as_of":%b,"sources":%b,"models":{\n' % (encode(as_of), encode(sources))
    rows = [b"%b:%b" % (encode(name), encode(_row(models[name]))) for name in sorted(models)]
    return head + b",\n".join(rows) + b"\n}}\n"


def _completed(models: Mapping[str, Model], base: Catalog) -> Mapping[str, Model]:
    listed = {name.partition("/")[0] for name in models}
    completed = {model.id: model for model in base if model.id.partition("/")[0] not in listed}
    for name, model in models.items():
        known = base.get(name)
        completed[name] = _completed_model(model, known) if known else model
    return completed


def _completed_model(model: Model, known: Model) -> Model:
    price = model.price
    if price and known.price and _agree(price, known.price):
        price = known.price  # it says the same, and more: part of it came from a second source
    return msgspec.structs.replace(
        model, price=price, successors=known.successors, benchmarks=known.benchmarks
    )


def _agree(said: Price, known: Price) -> bool:
    for field in set(said.__struct_fields__) - _NOT_IN_MAP:
        ours, theirs = getattr(known, field), getattr(said, field)
        if ours != theirs and not (theirs is None and field in _ADDED):
            return False
    return True


def _row(struct: Struct) -> dict[str, object]:
    row: dict[str, object] = {}
    for field in msgspec.structs.fields(struct):
        value: object = getattr(struct, field.name)
        if field.name == "id" or value == field.default or value in ((), {}):
            continue
        match value:
            case frozenset():
                row[field.name] = sorted(value)
            case Struct():
                row[field.name] = _row(value)
            case (Struct(), *_):
                row[field.name] = [_row(item) for item in value if isinstance(item, Struct)]
            case _:
                row[field.name] = value
    return row


def _unknown_fields(models: Raw) -> Iterator[str]:
    for name, row in msgspec.json.decode(models, type=dict[str, dict[str, object]]).items():
        price = row.get("price")
        fields = {*row, *(f"price.{field}" for field in (price if isinstance(price, dict) else ()))}
        for field in sorted(fields - _FIELDS):
            yield f"{name} has an unknown field {field!r}{did_you_mean(field, _FIELDS)}"


def _problems(model: Model) -> Iterator[str]:
    for field in _COUNTS:
        count = getattr(model, field)
        if count is not None and count <= 0:
            yield f"{model.id}: {field} is {count}; expected a positive number, or nothing"
    if model.retires_on is not None and not _DATE.fullmatch(model.retires_on):
        yield f"{model.id}: retires_on is {model.retires_on!r}; expected YYYY-MM-DD"
    if model.price is not None:
        yield from (f"{model.id}: price: {problem}" for problem in _price_problems(model.price))


def _price_problems(price: Price) -> Iterator[str]:
    for level in (price, *price.tiers):
        for field in level.__struct_fields__:
            value = getattr(level, field)
            if isinstance(value, int) and value < 0:
                yield f"{field} is {value}; expected zero or more"
    bounds = [tier.above_input_tokens for tier in price.tiers]
    if bounds != sorted(set(bounds)):
        yield f"tiers begin above {bounds}; expected rising sizes"
    if price.batch_share is not None and not 0 <= price.batch_share <= 1:
        yield f"batch_share is {price.batch_share}; expected 0-1"
