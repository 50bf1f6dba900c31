"""`turnout check` says so when a vote is not expected to beat its best member."""

import pytest

from turnout.compile import compile_snapshot
from turnout.compile.panels import panel_doubts
from turnout.config import parse_config
from turnout.parts import load_catalog

TEXT = """
providers: {p: {base_url: "http://127.0.0.1:9/v1", auth: none}}
models: [p/a, p/b, p/c]
routes:
  - name: votes
    models: [p/a, p/b, p/c]
    strategy: %s
"""
VOTE = "type: consensus, quality: {p/a: %s, p/b: %s, p/c: %s}, reduce: {type: majority%s}"


def doubts(strategy):
    config = parse_config(TEXT % strategy, env={})
    snapshot = compile_snapshot(config, load_catalog(config), {})
    return [line for route in snapshot.routes.values() for line in panel_doubts(route)]


def test_a_weak_panel_is_told_with_its_best_member() -> None:
    (line,) = doubts("{" + VOTE % (0.6, 0.9, 0.6, "") + "}")
    assert line == (
        "route votes: a vote of 3 is foretold 0.804 (correlation 0.5, alike 0.5), p/b alone 0.900; "
        "ask it alone, or write what you measured"
    )


@pytest.mark.parametrize(
    "strategy",
    [
        "{" + VOTE % (0.8, 0.8, 0.8, ", correlation: 0.1, alike: 0.2") + "}",
        "{type: consensus, reduce: {type: majority}}",
        "{" + VOTE % (0.6, 0.9, 0.6, ", weights: [1, 2, 1]") + "}",
        "{type: consensus, quality: {p/a: 1, p/b: 0, p/c: 0}, reduce: {type: best_of, deployment: p/a}}",
        "{type: priority}",
    ],
)
def test_what_pays_or_cannot_be_foretold_is_not_doubted(strategy) -> None:
    assert doubts(strategy) == []


def test_a_vote_inside_other_strategies_is_found() -> None:
    vote = "{" + VOTE % (0.6, 0.9, 0.6, "") + "}"
    rules = "{type: rules, rules: [{when: stream, use: {type: priority}}, {when: not stream, use: %s}]}"
    assert len(doubts(rules % vote)) == 1


@pytest.mark.parametrize("row", ["correlation: 1.5", "correlation: -1", "alike: 2"])
def test_what_is_no_share_is_refused(row) -> None:
    with pytest.raises(Exception, match=r"strategy\.reduce\.\w+ is"):
        doubts("{" + VOTE % (0.6, 0.9, 0.6, ", " + row) + "}")
