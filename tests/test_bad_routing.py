"""Routing that makes no sense, as `turnout check` tells it: a line each, with its path and what to do."""

import sys

import pytest

from turnout.cli.main import main

HEAD = """
providers: {p: {base_url: "http://127.0.0.1:9/v1", auth: none}}
models:
  - {model: p/a, price: {input: 1, output: 2}}
  - {model: p/b, price: {input: 3, output: 4}}
"""
AT = "routes[0].strategy"
QUALITY = "quality: {p/a: 0.6, p/b: 0.8}"
NESTED = "a group that can match in several ways is repeated (nested repetition)"
SHOW = "`turnout scores show` lists the benchmarks"


def check(text, tmp_path, monkeypatch, capsys):
    """Run the command in this process; return its exit status and what it told, a line each."""
    (tmp_path / "f.yaml").write_text(HEAD + text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["turnout", "check", "-c", "f.yaml"])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err.splitlines()
    lead = "turnout: f.yaml: "
    assert all(line.startswith(lead) for line in told), told
    return left.value.code, [line.removeprefix(lead) for line in told]


def routed(row):
    return f"routes: [{{name: r, models: [p/a, p/b], strategy: {{{row}}}}}]"


STRATEGIES = {
    # contradictory floors
    f"type: cheapest, q_floor: 0.9, {QUALITY}": (
        f"{AT}.q_floor is 0.9; the best model of the route reaches 0.8: lower it, or add a better model"
    ),
    f"type: cheapest, q_floor: 1.5, {QUALITY}": f"{AT}.q_floor is 1.5; expected between 0 and 1",
    "type: cheapest, q_floor: 0.5": (
        f"{AT}.quality: nothing is known of any model of the route; write values:, or import scores"
    ),
    "type: fastest, slo: {ttft_s: -1}": f"{AT}.slo.ttft_s is -1.0; expected positive seconds",
    "type: fastest, slo: {ttft_s: 1, eta: 3}": f"{AT}.slo.eta is 3.0; expected between 0 and 1",
    # unknown benchmarks
    "type: benchmarks, weights: {zzz: 1}": f"{AT}.weights.zzz: no scores of 'zzz' are known; {SHOW}",
    "type: best, benchmark: zzz": f"{AT}.benchmark: no scores of 'zzz' are known; {SHOW}",
    # weights that do not sum, or are no weights
    "type: benchmarks, weights: {x: 0.5, y: 0.6}": f"{AT}.weights sum to 1.1; make them sum to 1",
    "type: benchmarks, weights: {}": f"{AT}.weights sum to 0; make them sum to 1",
    "type: benchmarks, weights: {x: -1, y: 2}": f"{AT}.weights.x is -1.0; expected a number of at least 0",
    "type: consensus, reduce: {type: majority, weights: [.nan]}": (
        f"{AT}.reduce.weights is [nan]; expected numbers of at least 0"
    ),
    # empty pools inside a strategy
    "type: complexity, tiers: [[p/a], []], thresholds: [0.5]": (
        f"{AT}.tiers: expected at least two tiers with a model each"
    ),
    "type: rules, rules: []": f"{AT}.rules: 0 given; expected 1–500",
    "type: rules, rules: [{when: stream, models: [p/q]}]": (
        f"{AT}.rules[0].models[0]: 'p/q' is not in the route's models; did you mean \"p/b\"?"
    ),
    "type: schedule, windows: [], otherwise: {type: priority}": f"{AT}.windows: name at least one",
    # rules that cannot be read
    "type: rules, rules: [{when: 'tokens.inn > 3', models: [p/a]}]": (
        f"{AT}.rules[0].when: no fact 'tokens.inn'; did you mean \"tokens.in\"?"
    ),
    "type: rules, rules: [{when: 'signal.complexty > 3', models: [p/a]}]": (
        f"{AT}.rules[0].when: no signal 'complexty'; did you mean \"complexity\"?"
    ),
    "type: rules, rules: [{when: 'tokens.in >', models: [p/a]}]": (
        f"{AT}.rules[0].when: column 12: expected a fact or a literal, got the end"
    ),
    # numbers that are none
    "type: best, quality: {p/a: .nan, p/b: 0.5}": f"{AT}.quality: p/a is nan; expected between 0 and 1",
    f"type: cheapest, q_floor: .nan, {QUALITY}": f"{AT}.q_floor is nan; expected between 0 and 1",
    "type: benchmarks, weights: {x: .nan}": f"{AT}.weights.x is nan; expected a number of at least 0",
    "type: fastest, epsilon: .nan": f"{AT}.epsilon is nan; expected between 0 and 1",
    "type: cheapest, max_cost_usd: .nan": f"{AT}.max_cost_usd is nan; expected USD of at least 0",
    "type: cheapest, max_cost_per_1k: -1": f"{AT}.max_cost_per_1k is -1.0; expected USD of at least 0",
    "type: hedge, delay_s: .nan": f"{AT}.delay_s is nan; expected at least 0 seconds",
    "type: slo_tiers, limits_s: [.nan, 3]": f"{AT}.limits_s: expected rising positive seconds",
    "type: pipeline, score: [{type: cost, lambda: .inf}]": (
        f"{AT}.score[0].lambda is inf; expected a number of at least 0"
    ),
    "type: pipeline, score: [{type: quality, values: {p/a: 0.4}, weight: .nan}]": (
        f"{AT}.score: the weight of quality is not a number"
    ),
    "type: pipeline, filter: [{type: priced, max_cost_usd: -3}]": (
        f"{AT}.filter[0].max_cost_usd is -3.0; expected USD of at least 0"
    ),
    f"type: best, {QUALITY}, modify: [{{type: sticky, psi: .nan}}]": (
        f"{AT}.modify[0].psi is nan; expected a number of at least 0"
    ),
    f"type: best, {QUALITY}, modify: [{{type: paced, budget_usd: .nan}}]": (
        f"{AT}.modify[0].budget_usd is nan; expected above 0"
    ),
}
REPEATED = f"{NESTED}; repeat single characters, or make the group's alternatives begin differently"
PATTERNS = {
    "(a+)+": f"character 5: {REPEATED}",
    "(a|a)*b": f"character 6: {REPEATED}",
    "(a*)*": f"character 5: {REPEATED}",
    "a{1,5000}": "character 2: a count lies between 0 and 1000",
    "(?=a)b": "character 2: of groups only (…) and (?:…) are allowed, and (?i) at the very beginning",
    "[": "character 2: the class has no end",
    "a**": "character 3: repetition of a repetition",
}
ROUTE = "routes: [{name: r, models: [p/a]}]\n"
CONFIGURATIONS = {
    # empty pools
    "routes: [{name: r, models: []}]": ["routes[0].models: a route needs at least one model"],
    "routes: [{name: r, models: ['p/z*']}]": [
        "routes[0].models: 'p/z*' matches no configured model; add one under models:"
    ],
    "routes: [{name: r, models: [zz/q]}]": [
        "providers.zz: no vendor 'zz' is known; give it a base_url, or name a row with vendor:"
    ],
    ROUTE + "surfaces: {s: {allow: [nobody/*]}}": [
        "surfaces.s.allow: 'nobody/*' leaves no configured model; name a model or a provider"
    ],
    # circular aliases, and those that lead nowhere
    ROUTE + "aliases: {x: y, y: x}": [
        "aliases.x: goes round in a circle: x → y → x",
        "aliases.y: goes round in a circle: y → x → y",
    ],
    ROUTE + "aliases: {x: x}": ["aliases.x: goes round in a circle: x → x"],
    ROUTE + "aliases: {x: p/aa}": [
        "aliases.x: 'p/aa' is neither a model nor turnout/<route>; did you mean \"p/a\"?"
    ],
    ROUTE + "default_route: rr": ["default_route: no route 'rr'; did you mean \"r\"?"],
    # floors of places
    ROUTE + "surfaces: {s: {q_floor: 1.5}}": ["surfaces.s.q_floor is 1.5; expected between 0 and 1"],
    ROUTE + "surfaces: {s: {safety_floor: 0.5}}": [
        "surfaces.s.safety_floor: no model has a score on the benchmark 'safety'; import one first"
    ],
    # scores that are no numbers
    ROUTE + "benchmarks: {files: [nan.csv]}": ["nan.csv:2: score is nan; expected a number"],
}


@pytest.mark.parametrize("row", STRATEGIES)
def test_a_strategy_that_makes_no_sense_is_one_line(row, tmp_path, monkeypatch, capsys) -> None:
    found = check(routed(row), tmp_path, monkeypatch, capsys)
    assert found == (2, [STRATEGIES[row]])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_may_search_for_ever_is_one_line(pattern, tmp_path, monkeypatch, capsys) -> None:
    row = f"type: rules, rules: [{{when: 'text matches \"{pattern}\"', models: [p/a]}}]"
    found = check(routed(row), tmp_path, monkeypatch, capsys)
    assert found == (2, [f"{AT}.rules[0].when: {PATTERNS[pattern]}"])


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_that_makes_no_sense_is_told_a_line_each(text, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "nan.csv").write_text("model,benchmark,score,date,source\nm,b,nan,2026-01-01,x\n")
    assert check(text, tmp_path, monkeypatch, capsys) == (2, CONFIGURATIONS[text])
