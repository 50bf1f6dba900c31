"""`POST /v1/feedback`, and what a session's next request says of the answer before it."""

import pytest

from tests.server.kit import call, chat, rig
from turnout.stores.feedback import FeedbackQuery

KEYS = (
    "keys: [{name: one, secret: tn_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, names_customers: true},"
    "{name: two, secret: tn_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}]"
)
ONE = "Authorization: Bearer tn_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
TWO = "Authorization: Bearer tn_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
EXTRA = "feedback: {implicit: true, per_minute: 12}"
KEPT = "  - {name: kept, models: [oai/one], store_content: true}"


@pytest.fixture
async def gate():
    async with rig(EXTRA, server=KEYS, routes=KEPT, edit=_hashed) as made:
        made.gateway.feedback.open(made.built, None)
        yield made


def _hashed(text):
    return text.replace("journal: {enabled: false}", f"journal: {{enabled: false, hash_key: {'k' * 32}}}")


async def asked(gate, model="turnout/assistant", *headers, **fields):
    reply = await call(gate, "/v1/chat/completions", chat(model, **fields), ONE, *headers)
    assert reply.status == 200
    return reply.header("x-turnout-request-id")


async def say(gate, *headers, **said):
    reply = await call(gate, "/v1/feedback", said, *(headers or (ONE,)))
    return reply.status, reply.json()


async def kept(gate):
    found = await gate.built.quality.store.query(FeedbackQuery())
    return [told.feedback for told in reversed(found)]


async def test_a_word_is_kept_once_with_what_it_is_about(gate) -> None:
    name = await asked(gate, user="cus-9")
    status, first = await say(gate, request_id=name, signal="thumb", value="up")
    assert (status, first["object"], first["score"], first["is_new"]) == (202, "feedback", 1.0, True)
    _, again = await say(gate, request_id=name, signal="thumb", value="down")
    assert again == {**first, "score": 0.0, "is_new": False}
    assert (await say(gate, request_id=name, signal="score", value=4, scale=[1, 5]))[1]["score"] == 0.75
    for label in ("billing", "urgent"):
        assert (await say(gate, request_id=name, signal="label", value=label))[0] == 202
    record = await gate.record(name)
    found = await kept(gate)
    assert [(each.kind, each.value, each.score) for each in found] == [
        ("thumb", "down", 0.0),
        ("score", 4, 0.75),
        ("label", "billing", None),
        ("label", "urgent", None),
    ]
    about = {(f.principal, f.customer, f.route, f.model, f.asked_at, f.source) for f in found}
    assert about == {(record.principal, "cus-9", "assistant", "oai/one", record.at, "client")}


async def test_a_request_is_found_by_the_clients_own_id_and_by_its_session(gate) -> None:
    first = await asked(gate, "oai/one", "x-request-id: my-1", "x-turnout-session: s1")
    second = await asked(gate, "oai/one", "x-turnout-session: s1")
    assert (await say(gate, client_request_id="my-1", signal="outcome", value=True))[1]["request_id"] == first
    assert (await say(gate, session="s1", signal="outcome", value=0.5))[1]["request_id"] == second
    assert (await say(gate, session="s2", signal="outcome", value=True))[0] == 404
    assert (await say(gate, session="s1", request_id=first, signal="outcome", value=True))[0] == 400


async def test_another_keys_request_is_not_there_and_nonsense_is_refused(gate) -> None:
    name = await asked(gate)
    assert (await say(gate, TWO, request_id=name, signal="thumb", value=1))[0] == 404
    status, body = await say(gate, request_id=name, signal="thumb", value=7)
    assert (status, body["error"]["param"]) == (400, "value")
    assert (await say(gate, request_id=name, signal="mood", value=1))[0] == 400
    assert (await say(gate, "X: y", request_id=name, signal="thumb", value=1))[0] == 401
    assert await kept(gate) == []


async def test_text_is_kept_only_where_the_requests_own_text_is(gate) -> None:
    said = {"signal": "correction", "comment": "It is Rome."}
    assert (await say(gate, request_id=await asked(gate), **said))[1]["text_kept"] is False
    assert (await say(gate, request_id=await asked(gate, "turnout/kept"), **said))[1]["text_kept"] is True
    assert [(each.text, each.score) for each in await kept(gate)] == [(None, 0.0), ("It is Rome.", 0.0)]


async def test_a_key_may_say_so_much_a_minute(gate) -> None:
    name = await asked(gate)
    statuses = [(await say(gate, request_id=name, signal="thumb", value=1))[0] for _ in range(13)]
    assert statuses == [202] * 12 + [429]
    assert (await say(gate, TWO, request_id=name, signal="thumb", value=1))[0] == 404


def turns(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


async def test_the_next_request_of_a_session_says_how_the_answer_was(gate) -> None:
    async def ask(*texts, session="s"):
        return await asked(gate, "oai/one", f"x-turnout-session: {session}", messages=turns(*texts))

    question = "What is the capital of Italy these days?"
    first = await ask(question)
    await ask(question)  # the same again
    other = await ask("What is the capital of Italy nowadays?")
    third = await ask(question, "Paris.", "No, that is wrong. It is Rome.")
    await ask(question, "Paris.", "Thanks! Tell me about trains instead, please.")
    await ask(question, session="elsewhere")
    await gate.built.quality.settle()
    found = {(each.kind, each.score, each.source) for each in await kept(gate)}
    assert found == {
        ("implicit.regenerate", 0.0, "session"),
        ("implicit.rephrase", 0.0, "session"),
        ("implicit.correction", 0.0, "session"),
    }
    by_kind = {each.kind: each.request_id for each in await kept(gate)}
    assert by_kind["implicit.regenerate"] == first
    assert by_kind["implicit.rephrase"] not in {other, third}
