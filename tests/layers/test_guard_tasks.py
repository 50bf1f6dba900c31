"""The texts in answers of operations, found and replaced."""

import json

from turnout.layers.guard.tasks import editor

JSON = "application/json"


def masked(text):
    return text.replace("Ann", "<NAME>")


def edited(tree):
    return json.loads(editor(JSON)(json.dumps(tree).encode(), masked))


def test_what_spells_a_changed_text_out_once_more_is_left_out():
    tree = {
        "text": "Ann spoke",
        "duration": 3.7,
        "words": [{"word": "Ann"}],
        "segments": [{"text": "Ann", "tokens": [1]}, {"text": "spoke", "tokens": [2]}],
    }
    assert edited(tree) == {
        "text": "<NAME> spoke",
        "duration": 3.7,
        "segments": [{"text": "<NAME>"}, {"text": "spoke", "tokens": [2]}],
    }
    same = {"text": "spoke", "words": [{"word": "spoke"}], "logprobs": [1]}
    assert edited(same) == same


def test_the_prompt_that_a_picture_was_made_from_is_a_text_of_the_answer():
    tree = {"data": [{"b64_json": "Ann", "revised_prompt": "Ann in a garden"}], "created": 1}
    assert edited(tree) == {
        "data": [{"b64_json": "Ann", "revised_prompt": "<NAME> in a garden"}],
        "created": 1,
    }


def test_events_become_their_last_where_the_text_changed_and_stay_where_it_did_not():
    edit = editor("text/event-stream; charset=utf-8")

    def stream(text):
        last = json.dumps({"type": "transcript.text.done", "text": text, "logprobs": [1]})
        return b'data: {"type":"transcript.text.delta","delta":"An"}\n\n' + f"data: {last}\n\n".encode()

    assert edit(stream("spoke"), masked) == stream("spoke")
    assert edit(stream("Ann"), masked) == b'data: {"type":"transcript.text.done","text":"<NAME>"}\n\n'
