"""The loss table: complete, without defects, and what its page says."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.evaluate.translate.requests import REQUESTS
from tests.evaluate.translate.test_pairs import recorded
from turnout.evaluate.translate.answers import UNSAID
from turnout.evaluate.translate.formats import FORMATS
from turnout.evaluate.translate.report import Cell, of_records
from turnout.evaluate.translate.says import LIMITS, RESHAPED
from turnout.evaluate.translate.why import LOSSES, why
from turnout.transport.recording import read_recordings

ROOT = Path(__file__).resolve().parents[3]
EVERY = 24
"""One recording in so many is translated here; all of them in `tests/proofs/test_translation.py`."""
UNEXPLAINED = (
    "Something is lost that has no reason in evaluate/translate/why.py. If the other format can say it, the "
    "codec is wrong: mend it. If it cannot, write one sentence there, then run "
    "`python scripts/translation.py --data ../shared/wire`."
)
DEFECT = (
    "Something is lost in silence, or though both formats can say it. `silent`: let the codec note it "
    "(codecs/unsaid.py, or Notes.drop). `lost`: let the codec write it; what its format cannot say after all "
    "is no member of CAN in evaluate/translate/says.py, and what it can say in part stands in LIMITS."
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("translation", ROOT / "scripts" / "translation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses(cells):
    return {cell.feature for cell in cells if cell.told or cell.refused}


def test_a_sample_of_the_recordings_loses_nothing_that_both_formats_can_say(shared):
    files = sorted((shared / "wire").glob("*.jsonl"))
    table = of_records(record for file in files for record in read_recordings(file)[::EVERY])
    assert set(table.requests) >= set(FORMATS) - {"ollama"}
    assert table.defects == (), DEFECT
    assert {name for name in losses(table.cells) if why(name) is None} == set(), UNEXPLAINED


def test_the_page_of_the_reference_says_what_the_data_say(script):
    assert script.PAGE.read_text(encoding="utf-8") == script.page(script.read()), "run `make docs`"


def test_every_loss_of_the_data_has_a_reason_and_none_is_a_defect(script):
    rows = script.read().rows
    lost = {row.feature for row in rows for counts in row.to.values() if set(counts) & {"told", "refused"}}
    assert {name for name in lost if why(name) is None} == set(), UNEXPLAINED
    assert [row for row in rows for counts in row.to.values() if set(counts) & {"silent", "lost"}] == []


def test_reasons_are_sentences():
    sentences = [
        *LOSSES.values(),
        *(each for _, each in (*RESHAPED.values(), *LIMITS.values(), *UNSAID.values())),
    ]
    assert [each for each in sentences if not each.endswith(".") or not each[0].isupper()] == []


def test_a_table_counts_each_feature_of_each_pair_and_what_is_no_chat_not_at_all():
    url, _ = REQUESTS["openai_chat"]
    ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "top_k": 3}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        ],
    }
    chat = recorded(url, ask, answer=json.dumps(answer))
    table = of_records(
        [chat, chat, recorded("https://api.openai.com/v1/embeddings", {"model": "m", "input": "hi"})]
    )
    assert (table.requests, table.answers, table.streams, table.n_translations) == (
        {"openai_chat": 2},
        {"openai_chat": 2},
        {},
        12,
    )
    top_k = [cell for cell in table.cells if cell.feature == "top_k"]
    kept = dict.fromkeys(("anthropic", "bedrock", "cohere", "gemini", "ollama"), 2)
    assert top_k == [
        *(Cell(origin="openai_chat", other=other, feature="top_k", kept=n) for other, n in kept.items()),
        Cell(origin="openai_chat", other="openai_responses", feature="top_k", told=2),
    ]
    assert {cell.feature: cell.kept for cell in table.answer_cells if cell.other == "anthropic"} == {
        "finish": 2,
        "text": 2,
    }


def test_an_answer_that_broke_is_left_out():
    url, body = REQUESTS["openai_chat"]
    table = of_records([recorded(url, {**body, "stream": True}, answer='data: {"choices": []}\n\n')])
    assert (table.requests, table.answers, table.streams) == ({"openai_chat": 1}, {}, {})
