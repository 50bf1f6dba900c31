"""Intents from labelled utterances: what is read, what is refused, what is fitted."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
import yaml

from turnout.errors import ConfigError
from turnout.evaluate.intent import Settings, embed_all, encoder_of, fit_intents, read_utterances
from turnout.learn.encoders.vectors import unpacked
from turnout.learn.intent import decode, encode
from turnout.signals.canonical import CANONICAL
from turnout.signals.embed import EMBED_HASH
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BILLING = ["refund my invoice", "pay the invoice", "invoice is wrong", "invoice total", "send invoice again"]
CODE = [
    "fix my python loop",
    "python loop error",
    "write python loop",
    "python loop ends",
    "python loop test",
]
NONE = ["good morning", "sing me a song", "capital of France"]


def table(tmp_path, rows, name="u.jsonl"):
    path = tmp_path / name
    path.write_text("".join(msgspec.json.encode(row).decode() + "\n" for row in rows))
    return path


def rows(*, split="train"):
    labelled = [(text, "billing") for text in BILLING] + [(text, "code") for text in CODE]
    labelled += [(text, "oos") for text in NONE]
    return [{"text": text, "intent": intent, "split": split} for text, intent in labelled]


def problems(tmp_path, *changed, **options):
    with pytest.raises(ConfigError) as caught:
        read_utterances([table(tmp_path, changed)], **options)
    return [line.replace(str(tmp_path), "") for line in caught.value.problems]


def test_what_is_fitted_is_measured_on_the_rows_of_other_splits(tmp_path) -> None:
    new = [
        {"text": "the invoice please", "intent": "billing", "split": "dev"},
        {"text": "my python loop", "intent": "code", "split": "dev"},
        {"text": "what a day", "intent": "none", "split": "dev"},
    ]
    found = read_utterances([table(tmp_path, [*rows(), *new])])
    model = fit_intents(found, Settings(), NOW)
    (head,) = model.card.heads
    assert model.labels == ("billing", "code")
    assert (model.card.utterances, model.card.negatives) == ((5, 5), 3)
    assert (head.method, head.fitted.n, head.fitted.accuracy) == ("top", 10, 1.0)
    assert (head.held_out.n, head.held_out.n_none, head.held_out.accuracy_routed) == (2, 1, 1.0)
    assert head.held_out.none_recall == 1.0
    assert (
        decode(*encode(model)).card.npz_sha256
        == decode(*encode(fit_intents(found, Settings(), NOW))).card.npz_sha256
    )


def test_a_chain_of_encoders_has_a_head_each(tmp_path) -> None:
    found = read_utterances([table(tmp_path, rows())])
    model = fit_intents(found, Settings(encoders=("hash",), method="centroid"), NOW)
    assert [(head.encoder.name, head.encoder.id, head.method) for head in model.card.heads] == [
        ("hash", "hash-1-2/256/2", "centroid")
    ]


@pytest.mark.parametrize("text", ["Where  is my\tinvoice?", "word " * 300])
def test_an_utterance_is_embedded_as_a_live_request_is(text) -> None:
    request = ChatRequest(model="", messages=(Message("user", (Text(text),)),))
    ask = Ask(request_id="req_1")
    so_far = {"canonical": CANONICAL.read(request, ask, {})}
    live = unpacked(EMBED_HASH.read(request, ask, so_far).vector)
    assert np.array_equal(embed_all([text], encoder_of("hash"))[0], live)


def test_files_of_a_folder_and_lists_of_yaml_are_read(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("text,intent\n" + "".join(f"{text},billing\n" for text in BILLING))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"code": CODE, "none": NONE}))
    found = read_utterances([tmp_path], yaml=lambda content, where: yaml.safe_load(content))
    assert (found.labels, len(found.rows), [data.name for data in found.data]) == (
        ("billing", "code"),
        13,
        ["a.csv", "b.yaml"],
    )


def test_every_fault_is_told_with_its_row(tmp_path) -> None:
    changed = [
        *rows(),
        {"text": " ", "intent": "code"},
        {"text": None, "intent": "code"},
        {"text": "x", "intent": 7},
    ]
    assert problems(tmp_path, *changed) == [
        "/u.jsonl: row 14: text is empty",
        "/u.jsonl: row 15: text is missing",
        "/u.jsonl: row 16: intent is 7; expected words",
    ]


def test_one_text_under_two_intents_is_refused_or_left_out(tmp_path) -> None:
    changed = [*rows(), {"text": "Refund my  INVOICE", "intent": "code"}]
    assert problems(tmp_path, *changed) == [
        "/u.jsonl: row 1: see /u.jsonl: row 14",
        "/u.jsonl: row 14: under 'code', but /u.jsonl: row 1 has the same words under 'billing'",
    ]
    extra = {"text": "one more invoice", "intent": "billing"}
    found = read_utterances([table(tmp_path, [*changed, extra])], drop=True)
    assert (len(found.rows), len(found.dropped)) == (13, 2)


def test_a_text_in_two_splits_is_refused(tmp_path) -> None:
    told = problems(tmp_path, *rows(), {"text": "invoice total", "intent": "billing", "split": "dev"})
    assert told[1] == "/u.jsonl: row 14: in split 'dev', but /u.jsonl: row 4 has the same words in 'train'"


def test_what_is_said_twice_counts_once(tmp_path) -> None:
    found = read_utterances([table(tmp_path, [*rows(), rows()[0]])])
    assert (len(found.rows), found.n_repeated) == (13, 1)


def test_too_few_intents_or_utterances_are_refused(tmp_path) -> None:
    assert problems(tmp_path, *rows()[:5]) == [
        "intents: 1 in the training rows (billing); expected at least 2"
    ]
    assert problems(tmp_path, *rows()[1:]) == ["intents: 'billing' has 4 utterances; expected at least 5"]
    stray = {"text": "new", "intent": "stray", "split": "dev"}
    assert problems(tmp_path, *rows(), stray) == ["/u.jsonl: row 14: 'stray' has no training row"]


def test_a_table_without_the_columns_is_refused(tmp_path) -> None:
    assert problems(tmp_path, {"prompt": "x", "intent": "y"}) == [
        "/u.jsonl: row 1: no column 'text'; it has prompt, intent"
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match=r"no file in it ends in \.csv"):
        read_utterances([empty])


def test_an_intent_without_utterances_is_refused(tmp_path) -> None:
    path = tmp_path / "u.yaml"
    path.write_text("billing: []\n")
    with pytest.raises(ConfigError, match="billing: has no utterance"):
        read_utterances([path], yaml=lambda content, where: yaml.safe_load(content))


def test_an_unknown_encoder_is_refused(tmp_path) -> None:
    found = read_utterances([table(tmp_path, rows())])
    with pytest.raises(ConfigError, match="no 'hsh'"):
        fit_intents(found, Settings(encoders=("hsh",)), NOW)
