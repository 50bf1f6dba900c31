"""The language of rules: what is read, what is refused and where, what holds."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.strategies.base import Context, Session, Surface
from turnout.strategies.rules.ast import (
    Among,
    And,
    Call,
    Compare,
    Fact,
    HasAny,
    Lit,
    Matches,
    Node,
    Not,
    Or,
    Span,
    show,
)
from turnout.strategies.rules.compiled import Names, compile_condition
from turnout.strategies.rules.facts import Scene
from turnout.strategies.rules.parse import RuleError, parse
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Deployment, Model, Stats, Vendor
from turnout.types.moment import MOMENT, Moment
from turnout.types.principal import Principal
from turnout.types.signal import Canonical, Signal

AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
"""A Friday; 11:30 in Zurich."""


def candidate(name: str, **stats: object) -> Candidate:
    vendor = Vendor(name="v", base_url="http://127.0.0.1", codec="openai_chat")
    return Candidate(
        Deployment(id=name, vendor=vendor, model=Model(id=name), upstream_model=name),
        Stats(**stats),  # type: ignore[arg-type]
    )


SCENE = Scene(
    Context(
        request=ChatRequest(model="m", messages=(), stream=True),
        ask=Ask(
            request_id="r",
            tags=("team:search", "beta"),
            metadata={"plan": "gold", "priority": "high"},
            principal=Principal(organisation="acme"),
        ),
        n_tokens_in=1200,
        n_tokens_out=300,
        max_tokens_out=800,
        at=AT,
        session=Session(deployment="v/small", idle_s=90.0),
        surface=Surface(name="support", visibility="background"),
        signals={
            MOMENT: Moment(at=AT, budget_left=0.25),
            "has.code": Signal(value=True),
            "has.math": Signal(value=False),
            "has.tools": Signal(error="ValueError"),
            "lang": Signal(value="und"),
            "complexity": Signal(value=float("nan")),
            "trajectory": Signal(value={"turn": 3, "tool_errors": 2}),
            "canonical": Canonical(intent="Please refund invoice 4711 to the Straße office"),
        },
    ),
    (candidate("v/small"), candidate("v/big", state="open")),
)


def holds(text: str, windows: dict[str, str] | None = None) -> bool | None:
    return compile_condition(parse(text), Names("Europe/Zurich", windows or {})).test(SCENE)


X, Y, Z = Fact("a.x"), Fact("y"), Fact("z")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("y", Y),
        ("not y", Not(Y)),
        ("not not y", Not(Not(Y))),
        ("y and z or a.x", Or((And((Y, Z)), X))),
        ("y and (z or a.x)", And((Y, Or((Z, X))))),
        ("not y and z", And((Not(Y), Z))),
        ("not (y and z)", Not(And((Y, Z)))),
        ("y and (z and a.x)", And((Y, Z, X))),
        ("a.x >= 5", Compare(">=", X, Lit(5))),
        ("5 < a.x", Compare("<", Lit(5), X)),
        ("a.x == -1.5e3", Compare("==", X, Lit(-1500.0))),
        ("a.x == 'it\\'s'", Compare("==", X, Lit("it's"))),
        ("a.x != true", Compare("!=", X, Lit(value=True))),
        ("a.x > 5m", Compare(">", X, Span(300.0))),
        ("a.x > 1500ms", Compare(">", X, Span(1.5))),
        ('y in ["a", "b",]', Among(Y, (Lit("a"), Lit("b")))),
        ("y in [1, 2.5]", Among(Y, (Lit(1), Lit(2.5)))),
        ('tags has_any ["x"]', HasAny(Fact("tags"), (Lit("x"),))),
        ('text matches "\\bre\\d"', Matches(Fact("text"), "\\bre\\d")),
        ('tags["team"] == "x"', Compare("==", Fact("tags", "team"), Lit("x"))),
        ('tags[team] == "x"', Compare("==", Fact("tags", "team"), Lit("x"))),
        ('meta.customer-tier == "x"', Compare("==", Fact("meta", "customer-tier"), Lit("x"))),
        ('model.is_up("v/m") and peak', And((Call("model.is_up", "v/m"), Call("peak", "peak")))),
        ('peak("mon-fri 09:00-17:00")', Call("peak", "mon-fri 09:00-17:00")),
    ],
)
def test_text_becomes_a_tree(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "column 1: the condition is empty; write `true` for a rule that always matches"),
        ("y and", "column 6: expected a fact or a literal, got the end"),
        ("y z", "column 3: expected `and`, `or` or the end, got `z`"),
        ("(y", "column 3: expected `)`, got the end"),
        ("y)", "column 2: expected `and`, `or` or the end, got `)`"),
        ("y = 3", "column 3: `=` is not an operator; did you mean `==`?"),
        ("y && z", "column 3: '&' is not an operator; write `and`, `or`, `not`"),
        ('y == "abc', "column 6: the string has no end"),
        ("5", "column 1: a literal is no condition; compare it with a fact"),
        ("y or 5s", "column 6: a duration is no condition; compare it with a fact"),
        ("1 == 1", "column 1: a comparison needs a fact on one side and no call"),
        ("1 < y < 3", "column 7: expected `and`, `or` or the end, got `<`"),
        ("y in []", "column 3: the list is empty: nothing is in it"),
        ("y in [z]", "column 7: a list holds literals only"),
        ("y in [1 2]", "column 9: expected `,`, got `2`"),
        ("y has_any [1]", "column 3: `has_any` needs strings"),
        ("y matches z", "column 11: `matches` needs a pattern in quotes, got `z`"),
        ("y > 5x", "column 5: a number or duration is malformed; durations end in ms, s, m, h or d"),
        ("y > 999d", "column 5: a duration lies between 0 and 366d"),
        ("f(1)", "column 1: f cannot be called; only model.is_up, peak can"),
        ("model.is_up", 'column 1: model.is_up needs a model, as in model.is_up("vendor/model")'),
        ("y.__class__ @ 1", "column 13: '@' means nothing here"),
        ("(" * 40 + "y", "column 34: nested deeper than 32, got `(`"),
        ("y or " * 1000 + "y", "column 4000: the condition has 5001 characters; at most 4000 are read"),
        ("y == 1e999", "column 6: the number is too large"),
    ],
)
def test_an_error_says_where(text: str, fault: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)

    assert str(caught.value) == fault


_plain_facts = st.sampled_from((X, Y, Z, Fact("tags", "a b"), Fact("meta", 'k"\\é')))
_literals = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
).map(Lit)
_spans = st.floats(0, 3e7).map(Span)
_atoms = st.one_of(
    _plain_facts,
    st.booleans().map(Lit),
    st.builds(Call, st.sampled_from(("peak", "model.is_up")), st.text('ab/"\\\n', max_size=5)),
    st.builds(Compare, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")), _plain_facts, _literals | _spans),
    st.builds(Compare, st.just("=="), _literals, _plain_facts),
    st.builds(Among, _plain_facts, st.lists(_literals | _spans, min_size=1, max_size=3).map(tuple)),
    st.builds(
        HasAny, _plain_facts, st.lists(st.text(max_size=3).map(Lit), min_size=1, max_size=3).map(tuple)
    ),
    st.builds(Matches, _plain_facts, st.text("ab\\d.\"'\n\t", max_size=8)),
)


def _flat(kind: type, terms: list[Node]) -> Node:
    return kind(
        tuple(inner for term in terms for inner in (term.terms if isinstance(term, kind) else (term,)))
    )


_trees = st.recursive(
    _atoms,
    lambda below: st.one_of(
        below.map(Not),
        st.lists(below, min_size=2, max_size=3).map(lambda terms: _flat(And, terms)),
        st.lists(below, min_size=2, max_size=3).map(lambda terms: _flat(Or, terms)),
    ),
    max_leaves=8,
)


@given(_trees)
def test_what_is_written_is_read_back(tree: Node) -> None:
    assert parse(show(tree)) == tree


@given(st.text(max_size=60) | st.text('ab.[]()"\\=<>!0123456789 smh,andortinmatches', max_size=60))
def test_any_text_is_read_or_refused_with_a_column(text: str) -> None:
    column = 1
    try:
        parse(text)
    except RuleError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1


TRUTH = {"T": "true", "F": "false", "U": "has.tools"}
VALUES = {"T": True, "F": False, "U": None}


@pytest.mark.parametrize("row", ["TTT", "TFF", "TUU", "FTF", "FFF", "FUF", "UTU", "UFF", "UUU"])
def test_and_knows_three_values(row: str) -> None:
    assert holds(f"{TRUTH[row[0]]} and {TRUTH[row[1]]}") is VALUES[row[2]]


@pytest.mark.parametrize("row", ["TTT", "TFT", "TUT", "FTT", "FFF", "FUU", "UTT", "UFU", "UUU"])
def test_or_knows_three_values(row: str) -> None:
    assert holds(f"{TRUTH[row[0]]} or {TRUTH[row[1]]}") is VALUES[row[2]]


@pytest.mark.parametrize("row", ["TF", "FT", "UU"])
def test_not_knows_three_values(row: str) -> None:
    assert holds(f"not {TRUTH[row[0]]}") is VALUES[row[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tokens.in > 1000", True),
        ("tokens.in <= 1000", False),
        ("1200 == tokens.in", True),
        ("1000 < tokens.in", True),
        ("tokens.in in [1, 1200]", True),
        ("tokens.max_out < tokens.in", True),
        ("turn == 3", True),
        ("has.code and not has.math", True),
        ("has.images", None),
        ("wants.json == false", None),
        ('lang != "en"', None),
        ('surface == "support" and visibility == "background"', True),
        ('visibility in ["user"]', False),
        ('priority == "high"', True),
        ('tenant == "acme"', True),
        ('tags["team"] == "search"', True),
        ('tags["beta"] == ""', True),
        ('tags["bet"] == ""', None),
        ('tags has_any ["beta", "x"]', True),
        ('tags has_any ["x"]', False),
        ('meta.plan == "gold"', True),
        ('meta.nothing != "gold"', None),
        ("time.hour == 11", True),
        ('time.weekday == "fri"', True),
        ('peak("fri 11:00-12:00")', True),
        ('peak("fri 11:00-12:00 UTC")', False),
        ('peak("mon-thu 00:00-24:00")', False),
        ('peak("thu 22:00-11:31")', True),
        ("session.idle_s > 1m", True),
        ("session.idle_s > 2m", False),
        ('session.model == "v/small"', True),
        ("budget.left_share < 0.5", True),
        ('model.is_up("v/small")', True),
        ('model.is_up("v/big")', False),
        ('model.is_up("v/gone")', False),
        ("signal.trajectory.tool_errors >= 2", True),
        ("signal.trajectory.nothing >= 2", None),
        ("signal.complexity > 0.1", None),
        ("signal.complexity <= 0.1", None),
        ("signal.lexical.words > 3", None),
        ('text matches "(?i)REFUND"', True),
        ('text matches "^refund"', False),
        ('text has_any ["STRASSE"]', True),
        ("stream and n_tools == 0", True),
    ],
)
def test_facts_are_read_off_the_scene(text: str, value: bool | None) -> None:
    assert holds(text) is value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tokns.in > 3", "no fact 'tokns.in'; did you mean \"tokens.in\"?"),
        ("signal.lexcal.words > 3", "no signal 'lexcal.words'; did you mean \"lexical\"?"),
        ('tokens.in == "x"', '`tokens.in == "x"`: tokens.in is a number, not a text'),
        ("tokens.in", "`tokens.in`: tokens.in is a number, not a truth"),
        ('lang > "a"', '`lang > "a"`: texts have no order; write == or !='),
        ("has.code < true", "`has.code < true`: truths have no order; write == or !="),
        ('tokens.in matches "a"', '`tokens.in matches "a"`: tokens.in is a number, not a text'),
        ("surface == tokens.in", "`surface == tokens.in`: tokens.in is a number, not a text"),
        ("peak", "'peak' is not a window; expected [days] HH:MM-HH:MM [zone], as in mon-fri 09:00-18:00"),
        (
            'peak("mo 09:00-18:00")',
            "'mo' is no day or range of days; days are mon, tue, wed, thu, fri, sat, sun",
        ),
        ('peak("25:00-26:00")', "25:00 is no time of the day"),
        ('peak("09:00-09:00")', "'09:00-09:00' holds no minute"),
        (
            'peak("09:00-18:00 Mars/Base")',
            "no time zone 'Mars/Base'; expected an IANA name such as Europe/Zurich",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_loaded(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as caught:
        holds(text)

    assert str(caught.value) == fault


def test_a_named_window_is_looked_up() -> None:
    assert holds("peak", {"peak": "mon-fri 09:00-18:00"}) is True
    assert holds('peak("night")', {"night": "22:00-06:00"}) is False


def test_a_window_follows_the_zone_into_summer() -> None:
    window = compile_condition(parse('peak("08:00-09:00")'), Names("Europe/Zurich")).test
    summer = datetime(2026, 7, 1, 6, 30, tzinfo=UTC)
    winter = datetime(2026, 1, 1, 6, 30, tzinfo=UTC)

    assert [window(_at(when)) for when in (summer, winter)] == [True, False]


def _at(when: datetime) -> Scene:
    return Scene(
        Context(
            request=SCENE.context.request,
            ask=SCENE.context.ask,
            n_tokens_in=1,
            n_tokens_out=1,
            max_tokens_out=1,
            at=when,
        ),
        (),
    )
