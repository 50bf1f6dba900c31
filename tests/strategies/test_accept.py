"""Acceptors: which answers are good enough, with what confidence, and why."""

import msgspec
import pytest

from turnout.plan import Verdict
from turnout.strategies.accept import (
    Acceptor,
    Agreement,
    Combine,
    Finish,
    JsonSchema,
    Judge,
    Length,
    Logprob,
    Regex,
    SelfReport,
    ToolArgs,
    Worth,
    break_even,
)
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Message,
    OutputFormat,
    Refusal,
    Text,
    Tool,
    ToolCall,
)

ASKED = ChatRequest(model="m", messages=(Message("user", (Text("What is 2+2?"),)),))
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def said(text, *more, finish="stop", logprobs=None):
    choices = tuple(Choice(parts=(Text(each),), finish=finish, logprobs=logprobs) for each in (text, *more))
    return ChatResponse(id="1", model="m", choices=choices)


def called(name, arguments):
    call = ToolCall(id="1", name=name, arguments=arguments)
    return ChatResponse(id="1", model="m", choices=(Choice(parts=(call,), finish="tool_calls"),))


@pytest.mark.parametrize(
    ("acceptor", "answer", "verdict"),
    [
        (Finish(), said("four"), Verdict(True, 1.0, "complete")),
        (Finish(), said("fo", finish="length"), Verdict(False, 0.0, "finish_length")),
        (Finish(), said("  "), Verdict(False, 0.0, "empty")),
        (Finish(), said("I'm sorry, but I cannot"), Verdict(False, 0.0, "refusal")),
        (Finish(refusals=()), said("I cannot stop laughing"), Verdict(True, 1.0, "complete")),
        (Regex("^4$"), said("4"), Verdict(True, 1.0, "matched")),
        (Regex("TODO", absent=True), said("done TODO"), Verdict(False, 0.0, "matched")),
        (Length(min_chars=3), said("no"), Verdict(False, 0.0, "too_short")),
        (Length(max_chars=3), said("long"), Verdict(False, 0.0, "too_long")),
        (JsonSchema(SCHEMA), said('```json\n{"n": 4}\n```'), Verdict(True, 1.0, "schema_ok")),
        (JsonSchema(SCHEMA), said('{"n": "4"}'), Verdict(False, 0.0, "schema_violated")),
        (JsonSchema(SCHEMA), said("four"), Verdict(False, 0.0, "not_json")),
        (ToolArgs(), said("no call"), Verdict(True, 1.0, "no_call_needed")),
        (ToolArgs(required=True), said("no call"), Verdict(False, 0.0, "no_call")),
        (
            SelfReport(0.5, (1.0, 0.0)),
            said("4. Confidence: 90%"),
            Verdict(True, pytest.approx(0.9), "confident"),
        ),
        (
            SelfReport(0.5, (1.0, -9.0)),
            said("4. Confidence: 90%"),
            Verdict(False, pytest.approx(0.0011, abs=1e-4), "unsure"),
        ),
        (SelfReport(0.5, (1.0, 0.0)), said("4"), Verdict(False, None, "no_confidence_stated")),
        (Logprob(0.5), said("4"), Verdict(False, None, "no_logprobs")),
    ],
)
def test_a_look_at_the_answer_decides(acceptor, answer, verdict):
    assert acceptor.ask(ASKED, answer) is None
    assert acceptor.verdict(ASKED, answer, None) == verdict


def test_a_refusal_part_and_an_answer_without_choices_are_rejected():
    refused = ChatResponse(id="1", model="m", choices=(Choice(parts=(Text("x"), Refusal("no"))),))
    assert Finish().verdict(ASKED, refused, None).reason == "refusal"
    assert Finish().verdict(ASKED, ChatResponse(id="1", model="m", choices=()), None).reason == "finish_error"


def test_the_schema_of_the_request_is_used_when_the_acceptor_has_none():
    asked = msgspec.structs.replace(ASKED, output_format=OutputFormat(kind="json_schema", schema=SCHEMA))
    assert JsonSchema().verdict(asked, said('{"n": "x"}'), None).accept is False
    assert JsonSchema().verdict(ASKED, said('{"n": "x"}'), None).accept is True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (called("sum", '{"n": 1}'), "arguments_ok"),
        (called("sum", "{"), "arguments_not_json"),
        (called("sum", "{}"), "arguments_violate_schema"),
        (called("other", "{}"), "unknown_tool"),
    ],
)
def test_tool_calls_are_checked_against_the_tools_offered(answer, reason):
    asked = msgspec.structs.replace(ASKED, tools=(Tool(name="sum", schema=SCHEMA),))
    assert ToolArgs().verdict(asked, answer, None).reason == reason


def test_log_probabilities_are_averaged_over_all_or_the_lowest_tenth():
    likely = {"content": [{"token": "4", "logprob": 0.0}] * 19 + [{"token": "?", "logprob": -3.0}]}
    answer = said("4", logprobs=likely)
    assert Logprob(0.8).verdict(ASKED, answer, None) == Verdict(
        True, pytest.approx(0.8607, abs=1e-4), "likely"
    )
    assert Logprob(0.8, "lowest_tenth").verdict(ASKED, answer, None).accept is False


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|b*)*x", r"(\w+)\1", "(", r"(x*){2,}"])
def test_a_pattern_that_can_explode_or_does_not_parse_is_refused(pattern):
    with pytest.raises(ValueError):
        Regex(pattern)


def test_a_judge_sees_quoted_data_and_its_score_decides():
    judge = Judge("j/m", threshold=0.7)
    question = judge.ask(ASKED, said("4"))
    assert question.to == "j/m"
    assert msgspec.json.decode(question.request.messages[1].parts[0].text) == {
        "question": "What is 2+2?",
        "answer": "4",
    }
    assert judge.verdict(ASKED, said("4"), said('{"score": 9}')) == Verdict(True, 0.9, "judged_good")
    assert judge.verdict(ASKED, said("4"), said('{"score": 3}')) == Verdict(False, 0.3, "judged_poor")
    assert judge.verdict(ASKED, said("4"), said("great!")) == Verdict(False, None, "judge_unreadable")
    assert judge.verdict(ASKED, said("4"), None).accept is False


def test_agreement_counts_the_samples_that_say_the_same():
    agreement = Agreement("a/m", k=3, threshold=0.6)
    assert agreement.ask(ASKED, said("4")).request.n == 2
    assert agreement.verdict(ASKED, said("It is 4."), said("it is 4", "five")) == Verdict(
        True, pytest.approx(2 / 3), "agrees"
    )
    assert agreement.verdict(ASKED, said("4"), said("5", "6")).accept is False


def test_a_combination_needs_all_or_weighs_them():
    both = Combine((Finish(), Judge("j/m")))
    assert both.ask(ASKED, said("")) is None  # a free part already rejects: the judge is not paid
    assert both.ask(ASKED, said("4")).to == "j/m"
    assert both.verdict(ASKED, said("4"), said('{"score": 8}')) == Verdict(True, 0.8, "all_accept")
    weighed = Combine((Finish(), Judge("j/m")), weights=(1.0, 4.0), intercept=-3.0)
    assert weighed.verdict(ASKED, said("4"), said('{"score": 8}')).accept is True
    assert weighed.verdict(ASKED, said("4"), said('{"score": 1}')).accept is False


def test_escalation_must_be_worth_its_price():
    judge = Judge("j/m")
    cheap = Worth(judge, q_next=0.9, cost_next_usd=0.01, lambda_=1.0)
    dear = Worth(judge, q_next=0.9, cost_next_usd=0.5, lambda_=1.0)
    grade = said('{"score": 5}')
    assert cheap.verdict(ASKED, said("4"), grade) == Verdict(False, 0.5, "gain_worth_it")
    assert dear.verdict(ASKED, said("4"), grade) == Verdict(True, 0.5, "gain_not_worth_it")
    assert cheap.verdict(ASKED, said("4"), None).reason == "judge_unreadable"


def test_break_even_is_the_rate_at_which_a_cascade_stops_saving():
    assert break_even(1.0, 10.0) == pytest.approx(0.9)
    assert break_even(1.0, 10.0, 1.0) == pytest.approx(0.8)


def test_acceptors_are_read_from_a_configuration_by_type():
    tree = {
        "type": "worth",
        "of": {"type": "combine", "of": [{"type": "finish"}]},
        "q_next": 0.9,
        "cost_next_usd": 0.1,
        "lambda": 2,
    }
    assert msgspec.convert(tree, Acceptor) == Worth(
        Combine((Finish(),)), q_next=0.9, cost_next_usd=0.1, lambda_=2.0
    )
    with pytest.raises(msgspec.ValidationError, match="back-references"):
        msgspec.convert({"type": "regex", "pattern": r"(a)\1"}, Acceptor)
