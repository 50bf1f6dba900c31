"""Lookup, resolution and overlay of the model catalogue."""

import re
from decimal import Decimal

import pytest

from turnout.catalog.catalog import Catalog, Override, read_overlay, write_overlay
from turnout.catalog.edition import check
from turnout.catalog.prices import UsdPrice
from turnout.catalog.vendors import vendors
from turnout.errors import ConfigError
from turnout.types.deployment import Model
from turnout.types.usage import Price, Usage, cost

DATA = b"""{"as_of":"2026-01-02","sources":{"map":"a map 1.0"},"models":{
"openai/gpt-x":{"context_window":1000,"price":{"input":2,"output":3,"source":"map"},"source":"map"},
"azure/gpt-x":{"source":"map"},
"groq/open-1":{"source":"map"},
"together/open-2":{"source":"map"},
"groq/open-2":{"source":"map"}
}}"""


@pytest.fixture
def small():
    return Catalog.parse(DATA, "small.json")


@pytest.fixture(scope="module")
def bundled():
    return Catalog.load()


def test_a_model_is_found_by_its_name_with_source_and_date_filled_in(small):
    assert small.get("openai/gpt-x") == Model(
        id="openai/gpt-x",
        context_window=1000,
        price=Price(input=2, output=3, source="a map 1.0", as_of="2026-01-02"),
        source="a map 1.0",
        as_of="2026-01-02",
    )


def test_an_unknown_price_is_none(small):
    assert small.get("azure/gpt-x").price is None


def test_a_model_is_decoded_once(small):
    assert small.get("groq/open-1") is small.get("groq/open-1")


def test_an_unknown_name_is_none(small):
    assert small.get("openai/gpt-y") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-x", "openai/gpt-x"),
        ("gpt-x", "openai/gpt-x"),
        ("open-1", "groq/open-1"),
        ("together_ai/open-2", "together/open-2"),
        ("open-2", None),
        ("open-3", None),
        ("nobody/open-1", None),
    ],
)
def test_a_name_resolves_when_it_is_plain_whose_it_is(small, name, expected):
    found = small.resolve(name)
    assert (found.id if found else None) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("open-2", "; name the provider: groq/open-2, together/open-2"),
        ("gpt-xx", '; did you mean "gpt-x"?'),
        ("groq/opn-1", '; did you mean "groq/open-1"?'),
        ("zzz", ""),
    ],
)
def test_a_name_that_does_not_resolve_gets_a_suggestion(small, name, expected):
    assert small.suggest(name) == expected


def test_facts_know_at_least_the_name_and_that_an_own_server_is_free(small):
    assert small.facts("groq/new") == Model(id="groq/new")
    free = Price(input=0, output=0, source="one's own server")
    assert small.facts("llamacpp/new") == Model(id="llamacpp/new", price=free)


def test_kind_of_an_unknown_model_is_chat(small):
    assert small.kind("groq/new") == "chat"


def test_an_overlay_changes_only_what_it_says(small):
    over = small.overlay({"openai/gpt-x": Override(max_output=7, capabilities=frozenset({"tools"}))})
    found = over.get("openai/gpt-x")
    assert (found.context_window, found.max_output, found.capabilities) == (1000, 7, {"tools"})
    assert small.get("openai/gpt-x").max_output is None


def test_an_overlaid_price_replaces_the_whole_price(small):
    price = UsdPrice(input=Decimal("0.5"), output=Decimal(2))
    found = small.overlay({"openai/gpt-x": Override(price=price)}).get("openai/gpt-x")
    assert found.price == Price(input=500_000, output=2_000_000, source="overlay")


def test_an_overlay_can_say_that_a_price_is_not_known(small):
    assert small.overlay({"openai/gpt-x": Override(price=None)}).get("openai/gpt-x").price is None


def test_an_overlay_adds_a_model_under_its_vendors_name(small):
    over = small.overlay({"together_ai/mine": Override(context_window=5)})
    assert over.get("together/mine") == Model(id="together/mine", context_window=5, source="overlay")
    assert (len(over), len(small)) == (6, 5)
    assert over.resolve("mine") == over.get("together/mine")


def test_a_later_overlay_stands_before_an_earlier_one(small):
    first = small.overlay({"groq/open-1": Override(context_window=1, max_output=1)})
    found = first.overlay({"groq/open-1": Override(context_window=2)}).get("groq/open-1")
    assert (found.context_window, found.max_output) == (2, 1)


def test_an_overlay_name_without_a_provider_is_refused(small):
    with pytest.raises(ConfigError, match="overlay: 'gpt-x' is not provider/model"):
        small.overlay({"gpt-x": Override()})


def test_an_overlay_price_that_is_not_exact_is_refused_when_it_is_laid(small):
    price = UsdPrice(input=Decimal("0.0000001"), output=Decimal(1))
    with pytest.raises(ConfigError, match="openai/gpt-x: price: 1E-13 USD has more than 12 decimal places"):
        small.overlay({"openai/gpt-x": Override(price=price)})


def test_an_overlay_file_is_read_back_as_it_was_written():
    price = UsdPrice(input=Decimal("0.0375"), output=Decimal("1.5"), batch_share=0.5)
    overlay = {
        "groq/a": Override(price=price),
        "groq/b": Override(price=None, capabilities=frozenset({"a", "b"})),
    }
    written = write_overlay(overlay)
    assert written == (
        b'{\n"groq/a": {"price":{"input":0.0375,"output":1.5,"batch_share":0.5}},\n'
        b'"groq/b": {"price":null,"capabilities":["a","b"]}\n}\n'
    )
    assert read_overlay(written, "o.json") == overlay


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "o.json is not an overlay: Expected `object`, got `array`"),
        (b'{"groq/a":{"prise":1}}', "o.json is not an overlay: Object contains unknown field `prise`"),
    ],
)
def test_what_is_no_overlay_is_refused(data, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_overlay(data, "o.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{}", "c.json is not a catalogue: Object missing required field `as_of`"),
        (
            b'{"as_of":"","sources":{},"models":{"gpt":{}}}',
            "c.json: 'gpt' is not a model name; expected provider/model",
        ),
    ],
)
def test_what_is_no_catalogue_is_refused(data, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Catalog.parse(data, "c.json")


def test_a_row_that_cannot_be_decoded_is_named_when_it_is_asked_for():
    broken = Catalog.parse(b'{"as_of":"","sources":{},"models":{"a/b":{"context_window":"x"}}}', "c.json")
    with pytest.raises(ConfigError, match=re.escape("catalogue: a/b: Expected `int | null`")):
        broken.get("a/b")


def test_every_bundled_model_decodes_and_can_be_true(bundled):
    assert check(bundled) == ()
    assert len(bundled) > 2500


def test_every_bundled_model_has_a_source_and_a_date(bundled):
    assert not [model.id for model in bundled if not model.source or not model.as_of]
    assert not [
        model.id for model in bundled if model.price and not (model.price.source and model.price.as_of)
    ]


ONE_OF_EACH = Usage(
    **dict.fromkeys(("input_uncached", "image_out", "audio_out", "images", "search_units"), 10**9),
    **dict.fromkeys(("characters", "audio_s"), 10**9),
)


def test_no_bundled_price_is_zero_but_of_own_servers_and_of_what_an_embedding_puts_out(bundled):
    priced = [model for model in bundled if model.price and not model.id.startswith("ollama/")]
    talking = [model for model in priced if model.kind in ("chat", "other")]
    assert not [model.id for model in talking if not (model.price.input and model.price.output)]
    assert not [model.id for model in priced if model.kind == "embedding" and not model.price.input]
    assert not [model.id for model in priced if cost(ONE_OF_EACH, model.price) == 0]


def test_bundled_prices_confirmed_by_a_second_source_are_many(bundled):
    confirmed = [model for model in bundled if model.price and "confirmed by" in model.price.source]
    assert len(confirmed) > 400


def test_every_bundled_provider_is_a_vendor(bundled):
    providers = {name.partition("/")[0] for name in bundled.names()}
    assert providers - set(vendors()) == set()


def test_every_bundled_successor_is_in_the_catalogue(bundled):
    successors = {after for model in bundled for after in model.successors}
    assert successors
    assert not [after for after in successors if after not in bundled]


@pytest.mark.parametrize("prefix", ["gpt-", "claude-", "gemini-"])
def test_bundled_ids_of_the_three_large_makers_resolve_without_a_provider(bundled, prefix):
    maker = {"gpt-": "openai", "claude-": "anthropic", "gemini-": "gemini"}[prefix]
    names = [name for name in bundled.names() if name.startswith(f"{maker}/{prefix}")]
    assert names
    assert [bundled.resolve(name.partition("/")[2]).id for name in names] == names
