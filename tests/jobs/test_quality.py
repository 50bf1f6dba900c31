"""Drawn answers are judged by another provider's model, within a budget, and kept with their chance."""

import pytest

from tests.server.kit import call, chat, rig
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.parts import compiled
from turnout.stores.feedback import FeedbackQuery
from turnout.testing.emulator.script import last_user_text, reply_with
from turnout.types.chat import Text


def says(model, words):
    """Return an emulated model that answers by what its question contains."""

    def answer(request):
        asked = last_user_text(request)
        found = next((text for word, text in words.items() if word in asked), "I do not know.")
        return reply_with(request, (Text(found),), model=model)

    return answer


def section(more="", budget=1):
    sample = "{route: assistant, share: 1.0, judges: [oai/two, ant/two]" + more + "}"
    return f"quality: {{budget_usd: {budget}, samples: [{sample}]}}"


async def judged(extra, question="hello", judge='{"score": 8}', tally=None):
    """Ask one question and return what was kept of the answer, and the counts."""
    async with rig(extra) as gate:
        gate.emulator.add("oai-one", says("oai-one", {"": "An answer"}))
        gate.emulator.add("gem-one", says("gem-one", {"": "Another"}))
        for name in ("oai-two", "ant-two"):
            gate.emulator.add(name, judge if callable(judge) else says(name, {"": judge}))
        reply = await call(gate, "/v1/chat/completions", chat("turnout/assistant", question, stream=True))
        assert reply.status == 200
        await gate.built.quality.settle()
        found = [told.feedback for told in await gate.built.quality.store.query(FeedbackQuery())]
        records = await gate.records()
        return found, dict(gate.built.quality.counts), records


async def test_an_answer_is_graded_by_a_model_of_another_provider() -> None:
    (kept,), counts, records = await judged(section())
    assert counts == {"judged": 1}
    assert (kept.kind, kept.score, kept.chance, kept.source) == ("judge", 0.8, 1.0, "ant/two")
    assert (kept.route, kept.model, kept.text) == ("assistant", "oai/one", None)
    served, judgement = records
    assert (kept.request_id, judgement.metadata) == (served.request_id, {"judge_of": served.request_id})
    assert (judgement.tags, kept.value) == (("judge",), {"cost_nusd": judgement.outcome.cost_nusd})


async def test_a_judge_of_the_same_provider_must_be_wanted() -> None:
    only = section().replace(", ant/two", "")
    assert (await judged(only))[:2] == ([], {"same_vendor": 1})
    (kept,), _, _ = await judged(only.replace("1.0,", "1.0, same_vendor: true,"))
    assert kept.source == "oai/two"


@pytest.mark.parametrize(
    ("number", "score"), [(lambda ours: ours, 1.0), (lambda ours: 3 - ours, 0.0), (lambda _: 1, 0.5)]
)
async def test_two_answers_are_compared_in_both_orders(number, score) -> None:
    def compare(request):
        asked = last_user_text(request)
        ours = 1 if asked.index("An answer") < asked.index("Another") else 2
        return reply_with(request, (Text(f'{{"better": {number(ours)}}}'),), model="judge")

    (kept,), counts, records = await judged(section(", against: gem/one"), judge=compare)
    assert (kept.kind, kept.score, kept.value["against"]) == ("judge.pairwise", score, "gem/one")
    assert (counts, len(records)) == ({"judged": 1}, 4)


async def test_beyond_the_budget_and_out_of_form_nothing_is_kept() -> None:
    assert (await judged(section(budget=0)))[:2] == ([], {"no_budget": 1})
    assert (await judged(section(), judge="Very good!"))[:2] == ([], {"failed": 1})


@pytest.mark.parametrize(("kept", "seen"), [("true", True), ("false", False)])
async def test_a_judge_sees_what_was_said_before_where_text_is_stored_and_nowhere_else(kept, seen) -> None:
    asked = []

    def judge(request):
        asked.append(last_user_text(request))
        return reply_with(request, (Text('{"score": 9}'),), model="judge")

    turns = [("user", "I live in Bergen."), ("assistant", "Noted."), ("user", "What is the weather here?")]
    stores = f"journal: {{enabled: false, content: {kept}}}"
    async with rig(section(), edit=lambda text: text.replace("journal: {enabled: false}", stores)) as gate:
        gate.emulator.add("oai-one", says("oai-one", {"": "Rain."}))
        gate.emulator.add("ant-two", judge)
        body = chat("turnout/assistant", "")
        body["messages"] = [{"role": role, "content": text} for role, text in turns]
        assert (await call(gate, "/v1/chat/completions", body)).status == 200
        await gate.built.quality.settle()
    (question,) = asked
    assert "What is the weather here?" in question
    assert ("user: I live in Bergen.\\nassistant: Noted." in question) is seen


def test_a_sample_names_a_route_and_models_that_there_are() -> None:
    text = """
providers: {oai: {vendor: openai, base_url: "http://127.0.0.1:1/v1", secret: x}}
models: [{model: oai/one}]
quality: {samples: [{route: nowhere, judges: [oai/nobody]}, {route: nowhere, judges: []}]}
"""
    with pytest.raises(ConfigError) as error:
        compiled(parse_config(text, env={}), {}, {})
    assert error.value.problems == (
        "quality.samples[0].route: no route 'nowhere'",
        "quality.samples[0].judges[0]: no model 'oai/nobody'; add it to models",
        "quality.samples[1].route: no route 'nowhere'",
        "quality.samples[1].route: 'nowhere' is sampled twice",
        "quality.samples[1].judges: name at least one model that judges",
    )
