"""Tables: three formats give the same rows, and what cannot be used is refused by its row."""

import csv
import hashlib

import msgspec
import pytest

from turnout.errors import ConfigError
from turnout.evaluate.copies import overlap_key
from turnout.evaluate.dataset import (
    Outcome,
    Preference,
    load_outcomes,
    load_preferences,
    prompt_id,
    shared_prompts,
)

ROWS = [
    {"prompt": "What is 2 + 2?", "model": "large", "score": 1.0, "split": "train", "cost_usd": 0.002},
    {"prompt": "What is 2 + 2?", "model": "small", "score": 0.5, "split": "train", "cost_usd": 0.0001},
    {"prompt": "Prove it.", "model": "large", "score": 1.0, "split": "dev", "category": "maths"},
    {"prompt": "Prove it.", "model": "small", "score": 0.0, "split": "dev", "category": "maths"},
]


def changed(n, **cells):
    return [{**row, **cells} if i == n else row for i, row in enumerate(ROWS, start=1)]


def jsonl(folder, rows, name="table.jsonl"):
    path = folder / name
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return path


def write(folder, rows, suffix):
    if suffix == ".jsonl":
        return jsonl(folder, rows)
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: [row.get(name) for row in rows] for name in names}
        parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = write(tmp_path, ROWS, suffix)
    table = load_outcomes(path)
    four, prove = prompt_id("What is 2 + 2?"), prompt_id("Prove it.")
    asked = {"prompt": "What is 2 + 2?", "prompt_id": four, "split": "train"}
    proved = {"prompt": "Prove it.", "prompt_id": prove, "split": "dev", "domain": "maths"}
    assert table.rows == (
        Outcome(row=1, model="large", score=1.0, cost_nusd=2_000_000, **asked),
        Outcome(row=2, model="small", score=0.5, cost_nusd=100_000, **asked),
        Outcome(row=3, model="large", score=1.0, **proved),
        Outcome(row=4, model="small", score=0.0, **proved),
    )
    assert table.models == ("large", "small")
    assert (table.warnings, table.sha256) == ((), hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_prompt_keeps_its_name_whatever_its_case_and_white_space():
    assert prompt_id("  What is\n2 +\t2? ") == prompt_id("what is 2 + 2?")
    assert prompt_id("a") == hashlib.sha256(b"a").hexdigest()[:16]


def test_numbers_in_text_columns_are_text_and_absent_cells_are_absent(tmp_path):
    rows = [{**row, "item_id": 7, "latency_s": None, "input_tokens": 12} for row in ROWS]
    first = load_outcomes(jsonl(tmp_path, rows)).rows[0]
    assert (first.item_id, first.latency_s, first.input_tokens) == ("7", None, 12)


def test_a_row_is_resampled_with_its_group_or_its_prompt():
    row = Outcome(row=1, prompt_id="p", model="m", score=1)
    assert (row.group, msgspec.structs.replace(row, group_id="g").group) == ("p", "g")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no rows"),
        ([{"prompt": "a", "score": 1}], "row 1: no column model"),
        ([{"model": "m"}], r"row 1: no column score, prompt \(or prompt_id\)"),
        (changed(3, score=1.2), r"row 3: score is 1.2; expected 0-1"),
        (changed(2, score=-0.1), r"row 2: score is -0.1; expected 0-1"),
        (changed(2, score="nan"), r"row 2: score is nan; expected 0-1"),
        (changed(2, score="inf"), r"row 2: score is inf; expected 0-1"),
        (changed(2, score="good"), r"row 2: Expected `float`, got `str` - at `\$.score`"),
        (changed(4, input_tokens=-1), r"row 4: Expected `int` >= 0 - at `\$.input_tokens`"),
        (changed(1, cost_usd="dear"), "row 1: cost_usd is 'dear'; expected a number"),
        (changed(1, cost_usd="inf"), "row 1: cost_usd is 'inf'; expected a number"),
        (changed(1, prompt_id="0" * 16), "row 1: prompt_id is '0000000000000000', but the prompt's is"),
        ([*ROWS, ROWS[1]], "row 5: repeats row 2"),
        (ROWS[::2], "only one model, 'large'"),
        ([{**row, "score": 1.0} for row in ROWS], "every score is 1.0; nothing can be learned"),
        (changed(2, split="dev"), "row 2: prompt [0-9a-f]{16} is in split 'dev', but in 'train' at row 1"),
        ([{**row, "score": None} for row in ROWS], "no rows with a score"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_its_row(tmp_path, rows, problem):
    with pytest.raises(ConfigError, match=problem):
        load_outcomes(jsonl(tmp_path, rows))


def test_every_problem_is_a_line_with_the_path_and_many_are_counted(tmp_path):
    rows = [{"prompt": str(i), "model": "m", "score": 2} for i in range(30)]
    path = jsonl(tmp_path, rows)
    with pytest.raises(ConfigError) as caught:
        load_outcomes(path)
    assert len(caught.value.problems) == 21
    assert all(line.startswith(f"{path}: ") for line in caught.value.problems)
    assert caught.value.problems[-1] == f"{path}: … and 10 more problems"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.xlsx", b"", r"\.xlsx; expected \.csv, \.json, \.jsonl or \.parquet"),
        ("t.csv", b"model,score\n\xff,1", "byte 12 is not UTF-8"),
        ("t.csv", b"", "no rows"),
        ("t.csv", b'model,score,prompt\nm,1,"a" b', "not CSV after line 1"),
        ("t.jsonl", b"{}\n[1]", "row 1: no column"),
        ("t.jsonl", b'{"prompt":"a","model":"m","score":1}\n[1]', "row 2: Expected `object`"),
        ("t.parquet", b"PAR0", "not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        load_outcomes(path)


def test_what_weakens_a_result_is_a_warning(tmp_path):
    long = "the same hundred letters " * 10
    rows = [
        {"prompt": f"q{i}", "model": m, "score": float(m == "large"), "split": "train", "judge": m}
        for i in range(20)
        for m in ("large", "small")
    ]
    rows += [
        {"prompt": long + "x", "model": "large", "score": 1, "split": "train"},
        {"prompt": long + "y", "model": "large", "score": 0, "split": "dev"},
        {"prompt": "unscored", "model": "large", "score": None, "split": "dev"},
    ]
    assert load_outcomes(jsonl(tmp_path, rows)).warnings == (
        "rows without a score, left out: 1, the first being row 43",
        "small: no outcome for 2 of 22 items",
        "small: scores about 0 on the whole table; were its answers parsed?",
        "2 judges in one table (large, small): never average over them",
        "prompts with near-copies in another split (first 100 letters and digits): 1, the first at row 41",
    )


def test_a_beginning_that_many_prompts_share_is_a_template_and_no_copy(tmp_path):
    begin = "Answer the following question with one letter only, and explain nothing at all: " * 2
    tables = []
    for name, questions in (("train", range(12)), ("test", range(11, 23))):
        rows = [
            {"prompt": f"{begin} {n}", "model": model, "score": n % 2}
            for n in questions
            for model in ("large", "small")
        ]
        tables.append(load_outcomes(jsonl(tmp_path, rows, f"{name}.jsonl")))
    assert shared_prompts(*tables) == (prompt_id(f"{begin} 11"),)


def test_prompts_to_leave_out_of_training_include_near_copies(tmp_path):
    train = load_outcomes(jsonl(tmp_path, ROWS))
    other = [{**row, "prompt": row["prompt"].replace("it.", "IT!")} for row in ROWS[2:]]
    test = load_outcomes(jsonl(tmp_path, other, "test.jsonl"))
    assert shared_prompts(train, test) == (prompt_id("Prove it."),)
    assert overlap_key("Prove it.") == "proveit"


PAIRS = [
    {"prompt": "a", "model_a": "x", "model_b": "y", "winner": "a", "position_swapped": "true"},
    {"prompt": "a", "model_a": "x", "model_b": "y", "winner": "tie", "weight": "0.5"},
]


def test_preferences_are_read(tmp_path):
    base = {"prompt": "a", "prompt_id": prompt_id("a"), "model_a": "x", "model_b": "y"}
    for suffix in (".csv", ".jsonl"):
        assert load_preferences(write(tmp_path, PAIRS, suffix)).rows == (
            Preference(row=1, winner="a", position_swapped=True, **base),
            Preference(row=2, winner="tie", weight=0.5, **base),
        )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"winner": "c"}, "row 1: Invalid enum value 'c'"),
        ({"winner": None}, "row 1: Object missing required field `winner`"),
        ({"winner": "tie"}, "every winner is 'tie'"),
        ({"model_b": "x"}, "row 1: model_a and model_b are both 'x'"),
        ({"weight": 0}, "row 1: Expected `float` > 0"),
        ({"weight": "inf"}, "row 1: weight is inf"),
        ({"split": "dev"}, "row 2: prompt .* is in split '', but in 'dev' at row 1"),
    ],
)
def test_preferences_that_cannot_be_used_are_refused(tmp_path, change, problem):
    with pytest.raises(ConfigError, match=problem):
        load_preferences(jsonl(tmp_path, [{**PAIRS[0], **change}, PAIRS[1]]))


@pytest.mark.parametrize(
    ("name", "n", "models"),
    [
        ("routellm/mmlu", 28_084, 2),
        ("routellm/mt_bench", 320, 2),
        ("routerbench/routerbench_0shot", 26_591, 11),
    ],
)
def test_published_tables_pass(shared, name, n, models):
    pytest.importorskip("pyarrow")
    table = load_outcomes(shared / "data" / f"{name}.parquet")
    assert (len(table.rows), len(table.models)) == (n, models)
