"""Write the catalogue (models.json) and the page of price disagreements from published price maps.

    python scripts/build_catalog.py                                   # the newest wheels, fetched by pip
    python scripts/build_catalog.py --litellm-wheel A --genai-wheel B --as-of 2026-11-22

1. The first source is the map inside the litellm wheel: it alone knows windows, capabilities and retirement.
2. The second, genai-prices, confirms or contradicts each price. A contradiction is reported and the first
   source stands: it is corrected sooner and by more people. What only the second knows (a search fee, a
   cache price) is added where the two agree on the rest.
3. A vendor that the first source does not list at all is taken from the second, without what that marks as
   retired.
4. Nothing is imported from either package and nothing of this machine is written.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from genai_prices import Listed, Listing, read_wheel
from msgspec import Struct
from msgspec.structs import replace

from turnout.catalog import litellm
from turnout.catalog.catalog import Catalog
from turnout.catalog.edition import check, render
from turnout.catalog.prices import usd_per_mtok
from turnout.types.deployment import Model
from turnout.types.usage import PicoUsd, Price

ROOT: Final = Path(__file__).resolve().parent.parent
MODELS: Final = ROOT / "src/turnout/catalog/models.json"
REPORT: Final = ROOT / "docs/reference/catalog-disagreements.md"
SUCCESSORS: Final = ROOT / "scripts/catalog_successors.toml"
LITELLM_MAP: Final = "litellm/model_prices_and_context_window_backup.json"
COMPARED: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
FILLED: Final = ("cache_read", "cache_write_5m", "cache_write_1h", "per_request", "per_search")
_BY_PLACE: Final = re.compile(r"(us|us-gov|eu|apac|jp|au|ca|sa|global)\..*|.*@.*")
"""Names of a model at one place: the second source states no prices by place."""


class Disagreement(Struct, frozen=True):
    """One price that the two sources state differently."""

    model: str
    field: str
    first: PicoUsd
    second: PicoUsd


class Merged(Struct, frozen=True):
    """The catalogue to write, and how it came about."""

    models: Mapping[str, Model]
    n_confirmed: int
    disagreements: Sequence[Disagreement]


def main() -> int:
    """Fetch or open the wheels, merge, write, report."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        first = options.litellm_wheel or _download("litellm", Path(folder))
        second = options.genai_wheel or _download("genai-prices", Path(folder))
        with zipfile.ZipFile(first) as archive:
            converted = litellm.convert(litellm.read_map(archive.read(LITELLM_MAP)))
        listings = read_wheel(second, options.as_of)
    merged = merge(converted.models, listings)
    models = _with_successors(merged.models)
    sources = {
        "litellm": _label(first),
        "genai-prices": _label(second),
        "both": f"{_label(first)}, confirmed by {_label(second)}",
    }
    MODELS.write_bytes(render(models, sources, options.as_of))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(merged, sources, options.as_of))
    problems = check(Catalog.parse(MODELS.read_bytes(), MODELS.name))
    _tell(merged, models, [*converted.refused, *problems])
    return 1 if problems else 0


def merge(models: Mapping[str, Model], listings: Mapping[str, Listing]) -> Merged:
    """Cross-check the models of the first source and add the vendors it lacks."""
    merged: dict[str, Model] = {}
    disagreements: list[Disagreement] = []
    n_confirmed = 0
    for name, model in models.items():
        merged[name] = model
        other = _counterpart(name, listings)
        if model.price is None or other is None or other.price is None:
            continue
        found = _differences(model, model.price, other.price)
        disagreements += found
        if not found:
            n_confirmed += 1
            merged[name] = replace(model, price=_filled(model.price, other.price))
    listed = {name.partition("/")[0] for name in models}
    for vendor, listing in listings.items():
        if vendor not in listed:
            merged |= {
                f"{vendor}/{m.name}": _from_second(vendor, m) for m in listing.models if not m.deprecated
            }
    return Merged(merged, n_confirmed, disagreements)


def report(merged: Merged, sources: Mapping[str, str], as_of: str) -> str:
    """Write the page of disagreements."""
    by_model: dict[str, list[Disagreement]] = {}
    for found in merged.disagreements:
        by_model.setdefault(found.model, []).append(found)
    lines = [
        "# Where the price sources disagree",
        "",
        f"Written by `scripts/build_catalog.py` on {as_of} from {sources['litellm']} and",
        f"{sources['genai-prices']}. Of the models both list, {merged.n_confirmed} have the same prices and",
        f"{len(by_model)} differ. The catalogue keeps the first source's price, not marked as confirmed.",
        "Prices are USD per million tokens. To use a price you know better, overlay it.",
        "",
        "| model | litellm | genai-prices |",
        "|---|---|---|",
    ]
    for model in sorted(by_model):
        first = ", ".join(f"{d.field} {usd_per_mtok(d.first)}" for d in by_model[model])
        second = ", ".join(f"{d.field} {usd_per_mtok(d.second)}" for d in by_model[model])
        lines.append(f"| `{model}` | {first} | {second} |")
    return "\n".join(lines) + "\n"


def _counterpart(name: str, listings: Mapping[str, Listing]) -> Listed | None:
    vendor, _, model = name.partition("/")
    if vendor not in listings or _BY_PLACE.fullmatch(model):
        return None
    return listings[vendor].find(model)


def _differences(model: Model, first: Price, second: Price) -> list[Disagreement]:
    found = []
    for field in COMPARED[:1] if model.kind == "embedding" else COMPARED:
        ours, theirs = getattr(first, field), getattr(second, field)
        if ours is not None and theirs is not None and ours != theirs:
            found.append(Disagreement(model.id, field, ours, theirs))
    return found


def _filled(first: Price, second: Price) -> Price:
    changes = {field: getattr(first, field) or getattr(second, field) or None for field in FILLED}
    if second.per_request:
        changes["per_search"] = second.per_search  # the fee per request is the fee for its search
    return replace(first, **changes, source="both")


def _from_second(vendor: str, listed: Listed) -> Model:
    is_embedding = "embed" in listed.name
    price = listed.price
    if price and price.input and (price.output or is_embedding):
        price = replace(price, source="genai-prices")
    else:
        price = None  # a zero says "free for now" or "not known", never what a call will cost
    return Model(
        id=f"{vendor}/{listed.name}",
        context_window=listed.context_window,
        price=price,
        capabilities=frozenset({"embeddings"}) if is_embedding else None,
        kind="embedding" if is_embedding else "chat",
        source="genai-prices",
    )


def _with_successors(models: Mapping[str, Model]) -> Mapping[str, Model]:
    groups = tomllib.loads(SUCCESSORS.read_text())["group"]
    named = {name: tuple(after) for group in groups for name, after in group["successors"].items()}
    return {name: replace(model, successors=named.get(name, ())) for name, model in models.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--litellm-wheel", type=Path, help="a litellm wheel; without it pip fetches the newest"
    )
    parser.add_argument(
        "--genai-wheel", type=Path, help="a genai-prices wheel; without it pip fetches the newest"
    )
    today = datetime.now(tz=UTC).date().isoformat()
    parser.add_argument(
        "--as-of", default=today, help="the day the wheels were published or read (%(default)s)"
    )
    return parser.parse_args()


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), package], check=True)
    return next(folder.glob(f"{package.replace('-', '_')}-*.whl"))


def _label(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name.replace('_', '-')} {version}"


def _tell(merged: Merged, models: Mapping[str, Model], problems: Sequence[str]) -> None:
    vendors = {name.partition("/")[0] for name in models}
    unpriced = sum(model.price is None for model in models.values())
    print(f"{len(models)} models of {len(vendors)} vendors, {unpriced} without a known price")
    print(f"{MODELS.stat().st_size:,} bytes in {MODELS.relative_to(ROOT)}")
    print(f"{merged.n_confirmed} prices confirmed by the second source")
    n_models = len({found.model for found in merged.disagreements})
    print(f"{len(merged.disagreements)} disagreements over {n_models} models")
    for found in merged.disagreements:
        print(f"  {found.model} {found.field}: {usd_per_mtok(found.first)} / {usd_per_mtok(found.second)}")
    for problem in problems:
        print(f"refused: {problem}")


if __name__ == "__main__":
    sys.exit(main())
