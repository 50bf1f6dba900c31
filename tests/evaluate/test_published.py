import json

import pytest

from turnout.errors import ConfigError
from turnout.evaluate.dataset import load_outcomes, load_preferences


def outcomes(path):
    return [
        (r.row, r.prompt, r.dataset, r.model, r.score, r.cost_nusd, r.response)
        for r in load_outcomes(path).rows
    ]


def test_routerbench_is_read_as_it_is_published(tmp_path):
    path = tmp_path / "rb.csv"
    path.write_text(
        "sample_id,prompt,eval_name,a,b,a|model_response,a|total_cost,b|model_response,b|total_cost,oracle_model_to_route_to\n"
        "arc.1,['What is 2+2?'],arc,1.0,0.0,four,0.000002,five,0.001,a\n"
        "arc.2,Name a fruit,arc,0.0,1.0,stone,0.000001,apple,0.002,b\n"
    )
    assert outcomes(path) == [
        (1, "What is 2+2?", "arc", "a", 1.0, 2000, "four"),
        (2, "What is 2+2?", "arc", "b", 0.0, 1_000_000, "five"),
        (3, "Name a fruit", "arc", "a", 0.0, 1000, "stone"),
        (4, "Name a fruit", "arc", "b", 1.0, 2_000_000, "apple"),
    ]


def test_a_table_of_true_and_false_per_model_is_read(tmp_path):
    path = tmp_path / "mmlu.csv"
    path.write_text(",prompt,gpt-4,vendor/mix\n0,One?,True,False\n1,Two?,False,True\n")
    assert outcomes(path) == [
        (1, "One?", "", "gpt-4", 1.0, None, None),
        (2, "One?", "", "vendor/mix", 0.0, None, None),
        (3, "Two?", "", "gpt-4", 0.0, None, None),
        (4, "Two?", "", "vendor/mix", 1.0, None, None),
    ]


def test_a_broken_cell_of_a_wide_table_is_refused_with_its_row(tmp_path):
    path = tmp_path / "mmlu.csv"
    path.write_text("prompt,gpt-4,mix\nOne?,True,False\nTwo?,maybe,True\n")
    with pytest.raises(ConfigError) as error:
        load_outcomes(path)
    assert error.value.problems == (f"{path}: row 3: Expected `float`, got `str` - at `$.score`",)


def preferences(path):
    return [(r.row, r.prompt, r.model_a, r.model_b, r.winner, r.rater) for r in load_preferences(path).rows]


def test_arena_battles_are_read_as_they_are_published(tmp_path):
    path = tmp_path / "battles.csv"
    path.write_text(
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        '1,x,y,"[""Hello"",""And then?""]",r,s,1,0,0\n'
        "2,y,x,Plain,r,s,0,1,0\n"
        "3,x,y,Same,r,s,0,0,1\n"
    )
    assert preferences(path) == [
        (1, "And then?", "x", "y", "a", "arena"),
        (2, "Plain", "y", "x", "b", "arena"),
        (3, "Same", "x", "y", "tie", "arena"),
    ]


def test_alpaca_annotations_are_read_and_those_without_a_preference_left_out(tmp_path):
    path = tmp_path / "annotations.json"
    rows = [
        {
            "instruction": "Q1",
            "generator_1": "base",
            "generator_2": "new",
            "preference": 1.98,
            "annotator": "j",
        },
        {
            "instruction": "Q2",
            "generator_1": "base",
            "generator_2": "new",
            "preference": 1.5,
            "annotator": "j",
        },
        {
            "instruction": "Q3",
            "generator_1": "base",
            "generator_2": "new",
            "preference": None,
            "annotator": "j",
        },
        {"instruction": "Q4", "generator_1": "base", "generator_2": "new", "preference": 1, "annotator": "j"},
    ]
    path.write_text(json.dumps(rows))
    assert preferences(path) == [
        (1, "Q1", "base", "new", "b", "j"),
        (2, "Q2", "base", "new", "tie", "j"),
        (3, "Q4", "base", "new", "a", "j"),
    ]


def test_a_json_file_that_is_no_list_is_refused(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('{"instruction": "Q1"}')
    with pytest.raises(ConfigError) as error:
        load_preferences(path)
    assert error.value.problems == (f"{path}: expected a list of objects: Expected `array`, got `object`",)
