"""Prices that an operator sets over those of the file and the catalogue. Floor 6."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from turnout.catalog.prices import InexactPriceError, UsdPrice
from turnout.codecs.strict import convert
from turnout.config import Config
from turnout.config.shape import ModelConfig
from turnout.errors import InvalidRequest, NotFound
from turnout.govern.office import encode
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, page
from turnout.stores.desk.base import Change, Desk, Document
from turnout.types.json import Json

_Model = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_./@-]+$", max_length=100)]
_READ: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,100}")


class NewPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price for a model that the configuration names."""

    model: _Model
    """`provider/model`."""
    price: UsdPrice
    note: Annotated[str, Meta(max_length=500)] = ""
    """Where it comes from."""


class ChangePrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another price for the same model."""

    price: UsdPrice
    note: Annotated[str, Meta(max_length=500)] = ""


class Override(Struct, frozen=True, kw_only=True):
    """A price as it is kept."""

    id: str
    """The model, with `:` for `/`."""
    model: str
    price: UsdPrice
    note: str = ""


_override: Final = msgspec.json.Decoder(Override).decode


def priced(config: Config, overrides: Sequence[Override]) -> Config:
    """Return a configuration with other prices; one for a model it does not name says nothing."""
    if not overrides:
        return config
    prices = {each.model: each.price for each in overrides}
    return msgspec.structs.replace(config, models=tuple(_priced(each, prices) for each in config.models))


def _priced(model: str | ModelConfig, prices: dict[str, UsdPrice]) -> str | ModelConfig:
    name = model if isinstance(model, str) else model.model
    price = prices.get(name)
    if price is None:
        return model
    if isinstance(model, str):
        return ModelConfig(model=model, price=price)
    return msgspec.structs.replace(model, price=price)


async def overrides_of(desk: Desk) -> tuple[Override, ...]:
    """Return all prices that are set."""
    found: list[Override] = []
    after = ""
    while rows := await desk.list("price", after=after, limit=MOST_LISTED):
        found += [_override(row.body) for row in rows]
        after = rows[-1].id
    return tuple(found)


def _given(document: Document, status: int = 200) -> Given:
    tree: dict[str, Json] = msgspec.json.decode(document.body)
    told: dict[str, Json] = {"object": "price", **tree, "version": document.version}
    return Given(body=told, status=status, version=document.version)


async def _loaded(call: Call) -> Document:
    document = await call.office.desk.get("price", call.id) if _READ.fullmatch(call.id) else None
    if document is None:
        raise NotFound(f"there is no price {call.id[:64]!r}")
    return document


async def _list(call: Call) -> Given:
    limit = call.number("limit", 100, MOST_LISTED - 1)
    found = await call.office.desk.list("price", after=call.text("after") or "", limit=limit + 1)
    return page([_given(each).body for each in found], limit, lambda at: found[at].id)


async def _read(call: Call) -> Given:
    return _given(await _loaded(call))


def _checked(price: UsdPrice) -> None:
    try:
        price.exact()
    except InexactPriceError as error:
        raise InvalidRequest(f"price: {error}", param="price") from None


async def _create(call: Call) -> Given:
    new = convert(call.fields, NewPrice)
    _checked(new.price)
    names = {each if isinstance(each, str) else each.model for each in call.built.config.models}
    if new.model not in names:
        raise InvalidRequest(
            f"model: {new.model!r} is not named under `models` of the configuration", param="model"
        )
    kept = Override(id=new.model.replace("/", ":"), model=new.model, price=new.price, note=new.note)
    return _given(await _write(call, kept, None), 201)


async def _change(call: Call) -> Given:
    old = await _loaded(call)
    new = convert(call.fields, ChangePrice)
    _checked(new.price)
    before = _override(old.body)
    return _given(
        await _write(call, Override(id=old.id, model=before.model, price=new.price, note=new.note), old)
    )


async def _write(call: Call, kept: Override, old: Document | None) -> Document:
    seen = 0 if old is None else old.version if call.seen is None else call.seen
    new = Document(kind="price", id=kept.id, body=encode(kept), version=seen)
    act = call.office.act(call.actor, call.permit.action, new, old)
    (written,) = await call.office.write([Change(document=new)], act, call.seen)
    return written


async def _remove(call: Call) -> Given:
    old = await _loaded(call)
    seen = msgspec.structs.replace(old, version=old.version if call.seen is None else call.seen)
    act = msgspec.structs.replace(call.office.act(call.actor, call.permit.action, old, old), after=None)
    await call.office.write([Change(document=seen, remove=True)], act, call.seen)
    return Given(body={"object": "price.removed", "id": call.id})


_ONE: Final = "/prices/{id}"
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/prices",
        serve=_list,
        summary="Prices that are set over those of the file and the catalogue",
        gives=Override,
        many=True,
        query=("limit", "after"),
    ),
    Endpoint(
        method="POST", path="/prices", serve=_create, summary="Set a price", takes=NewPrice, gives=Override
    ),
    Endpoint(method="GET", path=_ONE, serve=_read, summary="Show a price", gives=Override),
    Endpoint(
        method="PATCH",
        path=_ONE,
        serve=_change,
        summary="Set another price",
        takes=ChangePrice,
        gives=Override,
    ),
    Endpoint(method="DELETE", path=_ONE, serve=_remove, summary="Go back to the price of the file"),
)
