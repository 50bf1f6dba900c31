"""Facts about models (window, prices, capabilities) by name, with the user's word over ours. Floor 1.

Theory of operation.

1. models.json is one object: `as_of`, `sources` (short word -> what was read) and `models`, one line per
   model. Opening it finds where each row begins; a row is decoded when it is first asked for, then kept.
   Opening costs milliseconds, a first look microseconds.
2. Rows carry the short word of their source and no date, so that a new edition changes only the lines whose
   facts changed. Both are filled in when a row is decoded.
3. A catalogue never changes. `overlay` returns another one that shares the rows and remembers what the user
   said instead.
4. What is not known is None: a price above all. Nothing here turns it into zero.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pkgutil import get_data
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from turnout.catalog.benchmarks import Score, Scores, public_scores
from turnout.catalog.prices import InexactPriceError, UsdPrice
from turnout.catalog.vendors import find_vendor, is_free, maker_of
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.types.deployment import Model, ModelKind
from turnout.types.usage import PicoUsd, Price

OVERLAY_SOURCE: Final = "overlay"
_FREE: Final = Price(input=PicoUsd(0), output=PicoUsd(0), source="one's own server")
_NAME: Final = re.compile(r"[^/\s\"\\]+/[^\s\"\\]+")


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a user says about a model. An absent field leaves the catalogue's; None means "not known"."""

    context_window: int | UnsetType | None = UNSET
    max_input: int | UnsetType | None = UNSET
    max_output: int | UnsetType | None = UNSET
    price: UsdPrice | UnsetType | None = UNSET
    """Replaces the price as a whole: a mixture of two price lists is nobody's price."""
    modalities_in: frozenset[str] | UnsetType = UNSET
    modalities_out: frozenset[str] | UnsetType = UNSET
    capabilities: frozenset[str] | UnsetType | None = UNSET
    kind: ModelKind | UnsetType = UNSET
    retires_on: str | UnsetType | None = UNSET
    successors: tuple[str, ...] | UnsetType = UNSET
    embedding_dimensions: int | UnsetType | None = UNSET
    benchmarks: Mapping[str, float] | UnsetType = UNSET
    source: str | UnsetType = UNSET
    as_of: str | UnsetType = UNSET

    def applied_to(self, model: Model) -> Model:
        """Return the model with what the user said in place of what the catalogue said.

        Raises:
            ConfigError: The price is not exact.
        """
        said: dict[str, object] = {name: getattr(self, name) for name in self.__struct_fields__}
        changes = {name: value for name, value in said.items() if value is not UNSET}
        if isinstance(self.price, UsdPrice):
            try:
                price = self.price.exact()
            except InexactPriceError as error:
                raise ConfigError((f"{model.id}: price: {error}",)) from error
            changes["price"] = msgspec.structs.replace(price, source=price.source or OVERLAY_SOURCE)
        return msgspec.structs.replace(model, **changes)


class _File(Struct, frozen=True):
    as_of: str
    sources: Mapping[str, str]
    models: dict[str, Raw]


_FILE: Final = msgspec.json.Decoder(_File)
_MODEL: Final = msgspec.json.Decoder(Model)
_OVERLAY: Final = msgspec.json.Decoder(dict[str, Override])


class Catalog:
    """A set of models by name. Frozen; cheap to open, cheap to overlay."""

    __slots__ = ("_bare", "_decoded", "_overrides", "_own", "_rows", "_scores", "as_of", "sources")

    def __init__(
        self,
        rows: Mapping[str, Raw],
        *,
        sources: Mapping[str, str],
        as_of: str,
        overrides: Mapping[str, Override] | None = None,
        own: Sequence[Score] = (),
    ) -> None:
        self._rows = rows
        self._overrides = overrides or {}
        self._decoded: dict[str, Model] = {}
        self._bare: dict[str, list[str]] | None = None
        self._own = tuple(own)
        self._scores: Scores | None = None
        self.sources = sources
        self.as_of = as_of

    @classmethod
    def load(cls) -> "Catalog":
        """Open the catalogue that comes with Turnout."""
        return cls.parse(get_data("turnout.catalog", "models.json") or b"", "models.json")

    @classmethod
    def parse(cls, data: bytes, where: str) -> "Catalog":
        """Open a catalogue in the format of models.json.

        Raises:
            ConfigError: It is not one. Rows are checked when they are asked for, or all by `check`.
        """
        try:
            file = _FILE.decode(data)
        except msgspec.DecodeError as error:
            raise ConfigError((f"{where} is not a catalogue: {error}",)) from error
        if bad := next((name for name in file.models if not _NAME.fullmatch(name)), None):
            raise ConfigError((f"{where}: {bad!r} is not a model name; expected provider/model",))
        return cls(file.models, sources=file.sources, as_of=file.as_of)

    def get(self, name: str) -> Model | None:
        """Return the model with exactly this `provider/model` name, or None."""
        found = self._decoded.get(name)
        if found is None and name in self:
            found = self._decoded[name] = self._decode(name)
        return found

    def resolve(self, name: str) -> Model | None:
        """Return the model a user means, or None when that is nobody's or several models' name.

        Accepted are `provider/model`, another tool's name of the provider (`together_ai/…`), and a bare id
        when its maker serves it (`gpt-…`, `claude-…`, `gemini-…`) or only one provider does.
        """
        if found := self.get(name):
            return found
        if "/" in name:
            return self.get(_canonical(name))
        maker = maker_of(name)
        if maker and (found := self.get(f"{maker.name}/{name}")):
            return found
        offers = self._offers().get(name, [])
        return self.get(offers[0]) if len(offers) == 1 else None

    def facts(self, name: str) -> Model:
        """Return what is known of a `provider/model`: at least its name, and that an own server is free."""
        if found := self.resolve(name):
            return found
        return Model(id=name, price=_FREE if is_free(name) else None)

    def kind(self, name: str) -> ModelKind:
        """Return the kind of a `provider/model`; "chat" when it is not known."""
        model = self.get(name)
        return model.kind if model else "chat"

    def suggest(self, name: str) -> str:
        """Return what to say after "no model NAME": the names it could mean, or ""."""
        offers = self._offers().get(name, [])
        if offers:
            return f"; name the provider: {', '.join(offers[:5])}" + (" …" if len(offers) > 5 else "")
        return did_you_mean(name, self.names() if "/" in name else self._offers())

    def overlay(self, overrides: Mapping[str, Override]) -> "Catalog":
        """Return a catalogue in which these words of the user stand before the present ones.

        An unknown `provider/model` name adds a model; another tool's name of the provider is understood.

        Raises:
            ConfigError: A name is not `provider/model`, or a price is not exact.
        """
        if bad := [name for name in overrides if not _NAME.fullmatch(name)]:
            raise ConfigError(tuple(f"overlay: {name!r} is not provider/model" for name in bad))
        merged = dict(self._overrides)
        for given, override in overrides.items():
            name = _canonical(given)
            merged[name] = _stacked(merged.get(name), override)
            override.applied_to(Model(id=name))
        return Catalog(self._rows, sources=self.sources, as_of=self.as_of, overrides=merged, own=self._own)

    @property
    def scores(self) -> Scores:
        """Benchmark scores: the public ones that come with Turnout, and the user's own over them."""
        if self._scores is None:
            self._scores = public_scores().with_own(self._own)
        return self._scores

    def with_scores(self, own: Sequence[Score]) -> "Catalog":
        """Return a catalogue that also has these scores of the user's."""
        return Catalog(
            self._rows,
            sources=self.sources,
            as_of=self.as_of,
            overrides=self._overrides,
            own=(*self._own, *own),
        )

    def names(self) -> tuple[str, ...]:
        """Return every `provider/model` name, sorted."""
        return tuple(sorted({*self._rows, *self._overrides}))

    def check(self) -> tuple[str, ...]:
        """Decode every model and return one line per row that cannot be."""
        problems: list[str] = []
        for name in self.names():
            try:
                self.get(name)
            except ConfigError as error:
                problems += error.problems
        return tuple(problems)

    def __contains__(self, name: str) -> bool:
        return name in self._rows or name in self._overrides

    def __len__(self) -> int:
        return len(self._rows) + sum(name not in self._rows for name in self._overrides)

    def __iter__(self) -> Iterator[Model]:
        for name in self.names():
            if model := self.get(name):
                yield model

    def _decode(self, name: str) -> Model:
        row, override = self._rows.get(name), self._overrides.get(name)
        model = Model(id=name, source=OVERLAY_SOURCE) if row is None else self._decode_row(name, row)
        return override.applied_to(model) if override else model

    def _decode_row(self, name: str, row: Raw) -> Model:
        # A row does not repeat its name; putting it in front lets one pass fill the Struct.
        try:
            model = _MODEL.decode(b'{"id":"%b",%b' % (name.encode(), bytes(row)[1:]))
        except msgspec.DecodeError as error:
            raise ConfigError((f"catalogue: {name}: {error}",)) from error
        price = model.price
        if price is not None:
            source = self.sources.get(price.source, price.source)
            price = msgspec.structs.replace(price, source=source, as_of=price.as_of or self.as_of)
        source = self.sources.get(model.source, model.source)
        as_of = model.as_of or self.as_of
        return msgspec.structs.replace(model, price=price, source=source, as_of=as_of)

    def _offers(self) -> Mapping[str, list[str]]:
        if self._bare is None:
            self._bare = {}
            for name in self.names():
                self._bare.setdefault(name.partition("/")[2], []).append(name)
        return self._bare


def read_overlay(data: bytes, where: str) -> Mapping[str, Override]:
    """Read an overlay file: a JSON object of `provider/model` -> what the user says about it.

    Raises:
        ConfigError: It is not one.
    """
    try:
        return _OVERLAY.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError((f"{where} is not an overlay: {error}",)) from error


def write_overlay(overrides: Mapping[str, Override]) -> bytes:
    """Write what `read_overlay` reads, one model per line."""
    encode = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
    lines = [b"%b: %b" % (encode(name), encode(overrides[name])) for name in sorted(overrides)]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def _canonical(name: str) -> str:
    provider, _, model = name.partition("/")
    known = find_vendor(provider)
    return f"{known.name}/{model}" if known else name


def _stacked(below: Override | None, above: Override) -> Override:
    if below is None:
        return above
    said: dict[str, object] = {name: getattr(above, name) for name in above.__struct_fields__}
    changes = {name: value for name, value in said.items() if value is not UNSET}
    return msgspec.structs.replace(below, **changes)
