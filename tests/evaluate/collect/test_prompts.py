import json

import pytest

from turnout.errors import ConfigError
from turnout.evaluate.collect.prompts import Prompt, load_prompts
from turnout.evaluate.dataset import prompt_id


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_table_of_prompts_is_read(tmp_path):
    path = write(
        tmp_path,
        "p.csv",
        'prompt,expected,category,system,scoring\nOne?,1,maths,Be brief,number\nTwo?,"[""2"",""II""]",,,\n',
    )
    assert load_prompts(path).rows == (
        Prompt(
            row=1,
            prompt_id=prompt_id("One?"),
            prompt="One?",
            expected=("1",),
            domain="maths",
            system="Be brief",
            scoring="number",
        ),
        Prompt(row=2, prompt_id=prompt_id("Two?"), prompt="Two?", expected=("2", "II")),
    )


def test_a_conversation_is_asked_as_a_whole_and_known_by_its_last_question(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    turns.append({"role": "user", "content": [{"type": "text", "text": "And now?"}]})
    row = {"messages": turns, "schema": {"type": "object"}}
    (found,) = load_prompts(write(tmp_path, "p.jsonl", json.dumps(row))).rows
    assert (found.prompt, found.turns, found.answer_schema) == ("And now?", turns, {"type": "object"})


def test_a_system_prompt_goes_before_the_question():
    asked = Prompt(row=1, prompt_id="p", prompt="Q", system="S")
    assert asked.turns == [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            '{"expected": "x"}',
            ["row 1: no prompt: expected a column `prompt`, or `messages` with a user's text"],
        ),
        (
            '{"prompt": "a"}\n{"prompt": " A "}',
            ["row 2: repeats row 1; give both an item_id if that is meant"],
        ),
        ('{"prompt": "a", "scoring": "vibes"}', ["row 1: Invalid enum value 'vibes' - at `$.scoring`"]),
        ('{"prompt": "a", "schema": "[]"}', ["row 1: schema: expected an object"]),
        ('{"messages": "nonsense"}', ["row 1: messages: JSON is malformed: invalid character (byte 4)"]),
        ("", ["no rows"]),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_row(tmp_path, text, problems):
    path = write(tmp_path, "p.jsonl", text)
    with pytest.raises(ConfigError) as error:
        load_prompts(path)
    assert error.value.problems == tuple(f"{path}: {problem}" for problem in problems)


def test_the_same_words_with_other_item_ids_are_two_questions(tmp_path):
    path = write(tmp_path, "p.jsonl", '{"prompt": "a", "item_id": 1}\n{"prompt": "a", "item_id": 2}')
    assert [row.item_id for row in load_prompts(path).rows] == ["1", "2"]


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ConfigError) as error:
        load_prompts(tmp_path / "none.csv")
    assert error.value.problems == (f"{tmp_path / 'none.csv'}: no such file",)
