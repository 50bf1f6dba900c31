"""`turnout catalog` on the bundled catalogue and on files."""

import json

import pytest
from click.testing import CliRunner

from turnout.catalog.catalog import Catalog, read_overlay
from turnout.cli.catalog import catalog

ROW = {
    "litellm_provider": "openai",
    "mode": "chat",
    "max_input_tokens": 1000,
    "input_cost_per_token": 1.5e-06,
    "output_cost_per_token": 2e-06,
}


def run(*arguments):
    return CliRunner().invoke(catalog, [str(argument) for argument in arguments])


@pytest.fixture
def price_map(tmp_path):
    """A litellm map in which one OpenAI model is new and one costs a known price; the others are gone."""
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"gpt-brand-new": ROW, "gpt-4o": ROW}))
    return path


def test_show_prints_the_facts_of_a_model_found_by_a_bare_id():
    result = run("show", "gpt-4o")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["openai/gpt-4o"] in lines
    assert ["context_window", "128000"] in lines
    assert ["price.input", "2.5"] in lines


def test_show_says_when_a_price_is_not_known():
    name = next(model.id for model in Catalog.load() if model.price is None)
    assert ["price", "not", "known"] in [line.split() for line in run("show", name).output.splitlines()]


def test_show_prints_a_model_as_json():
    shown = json.loads(run("show", "openai/gpt-4o", "--json").output)
    assert (shown["id"], shown["price"]["input"]) == ("openai/gpt-4o", 2_500_000)


def test_show_lists_the_models_of_a_provider_by_any_of_its_names():
    names = [line.split()[0] for line in run("show", "--provider", "x-ai").output.splitlines()[2:]]
    assert names == [name for name in Catalog.load().names() if name.startswith("xai/")]


def test_show_prints_the_models_of_a_provider_as_json():
    shown = json.loads(run("show", "--provider", "voyage", "--json").output)
    assert {model["kind"] for model in shown} == {"embedding", "rerank"}


def test_show_without_a_name_lists_the_providers():
    rows = {line.split()[0]: line.split()[1:] for line in run("show").output.splitlines()[1:]}
    assert rows["anthropic"][-1] == "https://api.anthropic.com/v1"
    assert rows["vllm"] == ["0", "0", "http://127.0.0.1:8000/v1"]
    shown = json.loads(run("show", "--json").output)
    assert sum(row["models"] for row in shown) == len(Catalog.load())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt-4oo"], "Error: no model 'gpt-4oo'; did you mean \"gpt-4o\"?\n"),
        (
            ["nobody/knows-this"],
            "Error: no model 'nobody/knows-this'; `turnout catalog show` lists the providers\n",
        ),
        (
            ["--provider", "opnai"],
            "Error: the catalogue has no models of 'opnai'; did you mean \"openai\"?\n",
        ),
        (
            ["gpt-4o", "--provider", "openai"],
            "Error: MODEL and --provider exclude each other; give one of them\n",
        ),
    ],
)
def test_what_is_not_found_is_one_line_with_a_hint(arguments, message):
    result = run("show", *arguments)
    assert (result.exit_code, result.output) == (1, message)


def test_diff_shows_prices_additions_and_removals(price_map):
    lines = run("diff", price_map).output.splitlines()
    assert ["openai/gpt-4o", "price.input", "2.5", "1.5"] in [line.split() for line in lines]
    assert "added: openai/gpt-brand-new" in lines
    assert any(line.startswith("removed: openai/") for line in lines)
    assert any(line.endswith("more; --all prints them") for line in lines)
    assert lines[-1].endswith(" removed, 1 changed")


def test_diff_prints_every_line_when_asked(price_map):
    known = [
        name for name in Catalog.load().names() if name.startswith("openai/") and name != "openai/gpt-4o"
    ]
    lines = run("diff", price_map, "--all").output.splitlines()
    assert [line for line in lines if line.startswith("removed: ")] == [f"removed: {name}" for name in known]


def test_diff_prints_json(price_map):
    shown = json.loads(run("diff", price_map, "--json").output)
    assert shown["added"] == ["openai/gpt-brand-new"]


def test_update_writes_nothing_unless_told_where(price_map):
    result = run("update", "--from", price_map)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "Nothing written; add --write FILE to keep this as an overlay."
    assert [path.name for path in price_map.parent.iterdir()] == ["map.json"]


def test_update_writes_an_overlay_that_show_applies(price_map):
    written = price_map.parent / "overlay.json"
    result = run("update", "--from", price_map, "--write", written)
    assert (
        result.output.splitlines()[-1]
        == f"2 models in {written}; name it in the configuration as catalog.overlay"
    )
    over = Catalog.load().overlay(read_overlay(written.read_bytes(), "overlay.json"))
    assert over.get("openai/gpt-4o").price.input == 1_500_000
    shown = json.loads(run("show", "openai/gpt-brand-new", "--overlay", written, "--json").output)
    assert shown["price"]["output"] == 2_000_000


def test_update_tells_what_it_leaves_out(price_map):
    price_map.write_text(json.dumps({"gpt-4o": ROW, "gpt-bad": {**ROW, "input_cost_per_token": 1.5e-13}}))
    assert (
        "left out: gpt-bad: 1.5E-13 USD has more than 12 decimal places\n"
        in run("update", "--from", price_map).output
    )


def test_an_unusable_file_is_one_line(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"as_of":"","sources":{},"models":{"a/b":{"x":1},"a/c":{"y":1}}}')
    result = run("update", "--from", path)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {path}: a/b has an unknown field 'x' (and 1 more)\n",
    )


def test_a_file_that_cannot_be_written_is_one_line(price_map):
    target = price_map.parent / "no-such-folder" / "overlay.json"
    result = run("update", "--from", price_map, "--write", target)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == f"Error: cannot write {target}: No such file or directory"


@pytest.mark.parametrize("command", [[], ["show"], ["diff"], ["update"]])
def test_every_help_text_is_complete(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output
