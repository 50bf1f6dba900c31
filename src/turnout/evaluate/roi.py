"""What routing saves, in money: from a described mix of requests, or from the journal. Floor 6.

A `Bundle` is a number of like requests. Every policy is priced on the same bundles: what was (or would be)
routed, everything on the strongest model, everything on the cheapest, and each model alone. Tokens are taken
as they are whichever model answers; a model that writes more than another is not modelled, and the report
says so.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec
from msgspec import Struct

from turnout.catalog.catalog import Catalog
from turnout.catalog.prices import InexactPriceError, UsdPrice
from turnout.errors import ConfigError
from turnout.types.deployment import Deployment
from turnout.types.record import Record
from turnout.types.usage import NanoUsd, Price, Usage, cost

NANO = 1_000_000_000
NO_PRICES: Mapping[str, Price] = {}
NOTE = "Tokens are taken as they are whichever model answers: a model that writes more costs more than shown."


class Bundle(Struct, frozen=True, kw_only=True):
    """Like requests."""

    name: str
    n: int
    usage: Usage
    """Of one request."""
    routed_to: str
    """Model that answers it under the policy in question."""


class Line(Struct, frozen=True, kw_only=True):
    """What one policy costs."""

    policy: str
    cost_nusd: NanoUsd
    share_of_strong: float | None
    """Cost relative to everything on the strongest model; None when that is free."""


class Report(Struct, frozen=True, kw_only=True):
    """What each policy costs over the same requests."""

    n_requests: int
    period: str
    strong: str
    cheap: str
    lines: tuple[Line, ...]
    """Routed first, then always strong, always cheap, and each other model alone."""
    saved_nusd: NanoUsd
    """Always strong minus routed."""
    prices: Mapping[str, str] = {}
    """Model -> USD per million tokens in and out, with source and date."""
    n_left_out: int = 0
    """Requests that could not be priced."""
    notes: tuple[str, ...] = (NOTE,)


class ClassRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of request in a described mix."""

    name: str
    share: Decimal
    """Of all requests; the shares of a mix sum to 1."""
    input_tokens: int
    output_tokens: int = 0
    model: str
    """Who answers it when routed."""


class Mix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A month of requests, described."""

    requests_per_month: int
    classes: tuple[ClassRow, ...]
    prices: dict[str, UsdPrice] = {}
    """USD per million tokens by model; the catalogue's where a model is not named here."""
    strong: str | None = None
    """Default: the dearest model of the mix."""
    cheap: str | None = None
    """Default: the cheapest model of the mix."""


def configured_prices(deployments: Iterable[Deployment], source: str) -> Mapping[str, Price]:
    """Return what a configuration says of prices, by model; of several for one model the first declared.

    Args:
        deployments: Made of the configuration: the catalogue's prices are in them where it says nothing.
        source: What stands for the source of a price that names none.
    """
    found: dict[str, Price] = {}
    for each in deployments:
        price = each.model.price
        if price is not None:
            found.setdefault(each.model.id, msgspec.structs.replace(price, source=price.source or source))
    return found


def from_mix(mix: Mix, catalog: Catalog, configured: Mapping[str, Price] = NO_PRICES) -> Report:
    """Price a described mix: by its own prices, then the configured ones, then the catalogue's.

    Raises `ConfigError` with one line per problem.
    """
    problems: list[str] = []
    total = sum((row.share for row in mix.classes), Decimal(0))
    if total != 1:
        problems.append(f"classes: the shares sum to {total}; expected 1")
    if mix.requests_per_month < 1:
        problems.append(f"requests_per_month is {mix.requests_per_month}; expected at least 1")
    prices = _prices(mix, catalog, configured, problems)
    bundles: list[Bundle] = []
    for at, row in enumerate(mix.classes):
        n = row.share * mix.requests_per_month
        if n != int(n) or n < 0:
            problems.append(
                f"classes[{at}].share: {row.share} of {mix.requests_per_month} is no whole number"
            )
        usage = Usage(input_uncached=row.input_tokens, output_text=row.output_tokens)
        bundles.append(Bundle(name=row.name, n=int(n), usage=usage, routed_to=row.model))
    if problems:
        raise ConfigError(tuple(problems))
    return report(bundles, prices, period="month", strong=mix.strong, cheap=mix.cheap)


def _prices(
    mix: Mix, catalog: Catalog, configured: Mapping[str, Price], problems: list[str]
) -> dict[str, Price]:
    names = [row.model for row in mix.classes] + [name for name in (mix.strong, mix.cheap) if name]
    found: dict[str, Price] = {}
    for name in dict.fromkeys([*names, *mix.prices]):
        try:
            own = mix.prices[name].exact() if name in mix.prices else None
            price = own or configured.get(name) or catalog.facts(name).price
        except InexactPriceError as error:
            problems.append(f"prices.{name}: {error}")
            continue
        if price is None:
            problems.append(f"prices.{name}: the catalogue knows no price; give input and output")
        else:
            found[name] = price
    return found


def from_records(
    records: Iterable[Record],
    catalog: Catalog,
    configured: Mapping[str, Price] = NO_PRICES,
    *,
    strong: str | None = None,
    cheap: str | None = None,
) -> Report:
    """Price what the journal holds: what was routed against everything on one model.

    Prices are the configured ones, then the catalogue's: those of today, not of the day of the request.
    Candidates are the models that answered, and `strong` and `cheap` where named. Requests without usage and
    models without a price are left out and counted. Raises `ConfigError` when nothing is left.
    """
    bundles: list[Bundle] = []
    prices: dict[str, Price] = {}
    n_left_out = 0
    for name in (strong, cheap):
        if name is not None:
            price = configured.get(name) or catalog.facts(name).price
            if price is None:
                raise ConfigError((f"{name}: neither configuration nor catalogue knows a price for it",))
            prices[name] = price
    for record in records:
        model, usage = record.outcome.model, record.outcome.usage
        price = None if model is None else configured.get(model) or catalog.facts(model).price
        if model is None or usage is None or price is None:
            n_left_out += 1
            continue
        prices[model] = price
        bundles.append(Bundle(name=record.request_id, n=1, usage=usage, routed_to=model))
    if not bundles:
        raise ConfigError(("the journal holds no request with usage and a known price in this period",))
    made = report(bundles, prices, period="journal", strong=strong, cheap=cheap)
    return msgspec.structs.replace(made, n_left_out=n_left_out)


def report(
    bundles: Iterable[Bundle],
    prices: Mapping[str, Price],
    *,
    period: str,
    strong: str | None = None,
    cheap: str | None = None,
) -> Report:
    """Price every policy over the same bundles."""
    rows = tuple(bundles)
    alone = {name: _total((row.n, row.usage, price) for row in rows) for name, price in prices.items()}
    strong = strong or max(alone, key=lambda name: alone[name])
    cheap = cheap or min(alone, key=lambda name: alone[name])
    routed = _total((row.n, row.usage, prices[row.routed_to]) for row in rows)
    costs = {"routed": routed, f"always {strong}": alone[strong], f"always {cheap}": alone[cheap]}
    costs |= {f"always {name}": spent for name, spent in alone.items()}
    base = alone[strong]
    return Report(
        n_requests=sum(row.n for row in rows),
        period=period,
        strong=strong,
        cheap=cheap,
        lines=tuple(
            Line(policy=policy, cost_nusd=spent, share_of_strong=spent / base if base else None)
            for policy, spent in costs.items()
        ),
        saved_nusd=NanoUsd(base - routed),
        prices={name: _price_line(price) for name, price in prices.items()},
    )


def _total(rows: Iterable[tuple[int, Usage, Price]]) -> NanoUsd:
    return NanoUsd(sum(n * cost(usage, price) for n, usage, price in rows))


def _price_line(price: Price) -> str:
    told = f"${price.input / 1e6:g} in, ${price.output / 1e6:g} out per million tokens"
    if not price.source:
        return f"{told} (given)"
    return f"{told} ({price.source}, {price.as_of or 'no date written'})"


def usd(nano: int) -> str:
    """Write nano-USD as dollars and cents, rounded half up."""
    cents = (abs(nano) * 100 + NANO // 2) // NANO
    return f"{'-' if nano < 0 else ''}${cents // 100:,}.{cents % 100:02d}"
