"""Benchmark scores: the public table, and files of one's own, all or nothing."""

from datetime import date

import pytest

from turnout.catalog.benchmarks import Score, Scores, public_scores, read_scores
from turnout.catalog.catalog import Catalog
from turnout.errors import ConfigError

HEADER = "model,benchmark,score,n,stderr,higher_is_better,date,source\n"
ROW = "openai/gpt-5-mini,support,0.83,200,0.02,true,2026-05-01,run 12\n"
EXPECTED = Score(
    model="openai/gpt-5-mini",
    benchmark="support",
    score=0.83,
    n=200,
    stderr=0.02,
    higher_is_better=True,
    date=date(2026, 5, 1),
    source="run 12",
)


def problems(text):
    with pytest.raises(ConfigError) as caught:
        read_scores(text.encode(), "own.csv")
    return caught.value.problems


def test_csv_and_json_lines_say_the_same():
    line = (
        '{"model": "openai/gpt-5-mini", "benchmark": "support", "score": 0.83, "n": 200, "stderr": 0.02, '
        '"higher_is_better": true, "date": "2026-05-01", "source": "run 12"}\n'
    )
    assert read_scores((HEADER + ROW).encode(), "own.csv") == (EXPECTED,)
    assert read_scores(line.encode(), "own.jsonl") == (EXPECTED,)


def test_optional_columns_may_be_missing_or_empty():
    short = "model,benchmark,score,date,source\na/b,q,1,2026-05-01,me\n"
    empty = HEADER + "a/b,q,1,,,,2026-05-01,me\n"
    expected = (Score(model="a/b", benchmark="q", score=1.0, date=date(2026, 5, 1), source="me"),)
    assert read_scores(short.encode(), "x") == read_scores(empty.encode(), "x") == expected


def test_every_faulty_row_is_told_and_nothing_is_taken():
    assert problems(
        HEADER
        + ROW
        + ROW
        + "a/b,support,nan,,,,2026-05-01,me\n"
        + "a/c,support,x,,,,2026-05-01,me\n"
        + "a/d,support,1,0,,,2026-05-01,me\n"
        + "a/e,support,1,,,false,2026-05-01,me\n"
        + "a/f,support,1,,,,yesterday,me\n"
        + "a/g,support,1,,,,2026-05-01,\n"
        + "a/h,support\n"
    ) == (
        "own.csv:3: openai/gpt-5-mini on support stands twice",
        "own.csv:4: score is nan; expected a number",
        "own.csv:5: score: expected `float`, got `str`",
        "own.csv:6: n is 0; expected at least 1",
        "own.csv:7: higher_is_better of support differs from an earlier row",
        "own.csv:8: date: invalid RFC3339 encoded date",
        "own.csv:9: object missing required field `source`",
        "own.csv:10: 8 columns expected",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no column 'model'"),
        (HEADER, "no scores; expected a header"),
        ("model,score\n", "no column 'benchmark'"),
        ("model,benchmark,score,date,source,colour\n", "unknown column 'colour'"),
        ('{"model": 1}\n', "model: expected `str`, got `int`"),
        ("{nonsense\n", "not a JSON object"),
    ],
)
def test_a_file_in_another_form_is_refused(text, expected):
    assert expected in problems(text)[0]


def test_own_scores_stand_over_public_ones_and_bare_ids_match_every_host():
    public = public_scores()
    own = Score(model="Claude-Haiku-4-5", benchmark="livebench", score=99, date=date(2026, 6, 1), source="me")
    assert public.get("livebench", "anthropic/claude-haiku-4-5").origin == "public"
    assert public.with_own([own]).get("livebench", "bedrock/claude-haiku-4-5") == own
    assert public.get("livebench", "nobody/nothing") is None


def test_the_public_table_has_sources_and_dates_and_names_models_of_the_catalogue():
    bare = {name.rpartition("/")[2].casefold() for name in Catalog.load().names()}
    rows = list(public_scores())
    assert len(rows) > 500
    assert [r.model for r in rows if r.model not in bare] == []
    assert all(r.source.startswith("https://") and r.date >= date(2025, 1, 1) for r in rows)
    assert all(0 <= r.score <= 100 for r in rows)


def test_the_catalogue_carries_own_scores_through_an_overlay():
    catalogue = Catalog.load().with_scores([EXPECTED]).overlay({})
    assert catalogue.scores.get("support", "openai/gpt-5-mini") == EXPECTED


def test_a_table_lists_its_benchmarks():
    assert (Scores([EXPECTED]).benchmarks, len(Scores([EXPECTED]))) == (("support",), 1)
