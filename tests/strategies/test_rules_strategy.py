"""`rules`: the first condition that holds picks; what is wrong with a list is told when it is loaded."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.test_rules_language import SCENE, candidate
from turnout import plan as plans
from turnout.errors import ConfigError
from turnout.strategies.base import Choice, Context, Setting
from turnout.strategies.priority import Priority
from turnout.strategies.rows import ready
from turnout.strategies.rules import Otherwise, Rule, Rules, findings
from turnout.strategies.weighted import Weighted
from turnout.types.ask import Preferences
from turnout.types.deployment import Candidate

SMALL, BIG, OTHER = candidate("v/small"), candidate("v/big"), candidate("w/other")
ALL = (SMALL, BIG, OTHER)
SETTING = Setting(pool=tuple(c.deployment for c in ALL))


class Seeded:
    rng = Random(0)


def choose(rules: Rules, candidates: tuple[Candidate, ...] = ALL, context: Context = SCENE.context) -> Choice:
    return rules.choose(context, candidates, Seeded())


def sequence(*names: str) -> plans.Plan:
    return plans.Sequence(tuple(plans.Try(name) for name in names))


def test_the_first_rule_that_holds_wins() -> None:
    rules = Rules(
        rules=(
            Rule(when="has.math", models=("w/other",)),
            Rule(when="has.code", models=("v/big", "v/small")),
            Rule(when="true", models=("v/small",)),
        )
    )

    choice = choose(rules)

    assert (choice.plan, choice.reason) == (sequence("v/big", "v/small"), "rule_matched")
    assert choice.rule == "rules[1]"


def test_a_rule_with_a_name_is_recorded_by_it() -> None:
    assert choose(Rules(rules=(Rule(name="code", when="has.code", models=("v/big",)),))).rule == "code"


def test_unknown_does_not_match() -> None:
    rules = Rules(
        rules=(Rule(when="has.tools", models=("v/big",)), Rule(when="not has.tools", models=("v/big",))),
        otherwise=Otherwise(models=("w/other",)),
    )

    choice = choose(rules)

    assert (choice.plan, choice.reason) == (plans.Try("w/other"), "default_abstain")


def test_without_otherwise_the_declared_order_answers() -> None:
    assert choose(Rules(rules=(Rule(when="false", models=("v/big",)),))).plan == sequence(
        "v/small", "v/big", "w/other"
    )


def test_a_rule_whose_models_are_gone_is_passed_over() -> None:
    rules = Rules(rules=(Rule(when="true", models=("v/big",)), Rule(when="true", models=("w/other",))))

    assert choose(rules, (SMALL, OTHER)).plan == plans.Try("w/other")


def test_an_outage_of_everything_listed_leaves_the_others() -> None:
    rules = Rules(rules=(Rule(when="true", models=("v/big",)),), otherwise=Otherwise(models=("v/big",)))

    assert choose(rules, (SMALL,)).plan == plans.Try("v/small")


def test_a_rule_may_name_a_strategy_for_its_models() -> None:
    rules = Rules(
        rules=(Rule(when="true", models=("v/big", "w/other"), use=Weighted(weights={"w/other": 0.0})),)
    )

    choice = choose(rules)

    assert (choice.plan, choice.reason, choice.propensity) == (
        sequence("v/big", "w/other"),
        "rule_matched",
        1.0,
    )


def test_a_client_without_fallbacks_gets_one_model() -> None:
    ask = msgspec.structs.replace(SCENE.context.ask, prefer=Preferences(allow_fallbacks=False))
    context = msgspec.structs.replace(SCENE.context, ask=ask)

    assert choose(
        Rules(rules=(Rule(when="true", use=Priority(), models=("v/big", "v/small")),)), context=context
    ).plan == plans.Sequence((plans.Try("v/big"),))


def test_the_signals_of_all_conditions_are_needed() -> None:
    rules = Rules(
        rules=(
            Rule(when='has.code and tokens.in > 5 or text matches "x"', models=("v/big",)),
            Rule(when="signal.trajectory.depth > 3 and turn > 1", models=("v/big",)),
        )
    )

    assert rules.needs == {"has.code", "tokens.in", "canonical", "trajectory"}


def test_equal_arguments_give_equal_choices() -> None:
    rules = Rules(rules=(Rule(when="has.code", models=("v/big",)),))

    assert choose(rules) == choose(rules)


_conditions = st.sampled_from(
    (
        "has.code",
        "not has.code",
        "has.tools",
        "tokens.in > 1000",
        'lang == "en"',
        "turn in [3]",
        "true",
        "false",
    )
)
_models = st.lists(st.sampled_from([c.id for c in ALL]), unique=True, min_size=1).map(tuple)


@given(
    st.lists(
        st.builds(lambda when, models: Rule(when=when, models=models), _conditions, _models),
        min_size=1,
        max_size=6,
    ),
    st.sets(st.integers(0, 2), min_size=1),
)
def test_a_plan_names_only_candidates(rules: list[Rule], at: set[int]) -> None:
    kept = tuple(ALL[i] for i in sorted(at))

    chosen = plans.deployments(choose(Rules(rules=tuple(rules)), kept).plan)

    assert set(chosen) <= {c.id for c in kept}
    assert chosen


def load(**fields: object) -> list[str]:
    problems: list[str] = []
    ready({"type": "rules", **fields}, "routes[0].strategy", SETTING, problems)  # type: ignore[arg-type]
    return problems


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rules": []}, "rules: 0 given; expected 1–500"),
        ({"rules": [{"when": "true"}]}, "rules[0]: name models: or use:, or both"),
        (
            {"rules": [{"when": "tokens.in >", "models": ["v/big"]}]},
            "rules[0].when: column 12: expected a fact or a literal, got the end",
        ),
        (
            {"rules": [{"when": "tokns.in > 1", "models": ["v/big"]}]},
            "rules[0].when: no fact 'tokns.in'; did you mean \"tokens.in\"?",
        ),
        (
            {"rules": [{"when": "true", "models": ["v/bg"]}]},
            "rules[0].models[0]: 'v/bg' is not in the route's models; did you mean \"v/big\"?",
        ),
        (
            {"rules": [{"when": "true", "models": ["v/big"]}], "otherwise": {"models": ["x"]}},
            "otherwise.models[0]: 'x' is not in the route's models",
        ),
        (
            {"rules": [{"when": "true", "models": ["v/big"]}], "zone": "Mars"},
            "no time zone 'Mars'; expected an IANA name such as Europe/Zurich",
        ),
        (
            {"rules": [{"when": "true", "models": ["v/big"]}], "windows": {"w": "9-17"}},
            "windows.w: '9-17' is not a window",
        ),
        (
            {"rules": [{"when": "text == lang", "models": ["v/big"]}]},
            "rules[0].when: `text == lang`: text is compared with words in quotes, not with a fact",
        ),
        (
            {"rules": [{"when": 'text matches "(a+)+"', "models": ["v/big"]}]},
            "rules[0].when: character 5: a group that can match in several ways",
        ),
    ],
)
def test_a_wrong_list_is_refused_with_its_path(fields: dict[str, object], problem: str) -> None:
    (told,) = load(**fields)

    assert problem in told
    assert told.startswith("routes[0].strategy")


def test_a_good_list_is_loaded_and_bound() -> None:
    assert (
        load(
            rules=[{"when": "has.code", "use": {"type": "cheapest"}}], otherwise={"use": {"type": "priority"}}
        )
        == []
    )


def test_every_wrong_model_is_told_at_once() -> None:
    rules = Rules(rules=(Rule(when="true", models=("a", "b")),))

    with pytest.raises(ConfigError) as caught:
        rules.bind(SETTING)

    assert len(caught.value.problems) == 2


def told(*conditions: str, same: bool = False) -> list[str]:
    return findings(
        [Rule(when=when, models=("m",) if same else (f"m{i}",)) for i, when in enumerate(conditions)]
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("true", "has.code"),
        ("tokens.in > 100", "tokens.in > 200"),
        ("tokens.in > 100", "tokens.in >= 101 and has.code"),
        ("tokens.in >= 100", "tokens.in == 100"),
        ("100 < tokens.in", "tokens.in in [101, 500]"),
        ("has.code or has.math", "has.math"),
        ("has.code or has.math", "has.math and turn > 3 or has.code and turn > 5"),
        ('lang in ["de", "fr"]', 'lang == "de"'),
        ('lang != "en"', 'lang == "de"'),
        ('not lang == "en"', 'lang in ["de", "fr"]'),
        ("not (tokens.in > 5 or has.code)", "tokens.in <= 4 and not has.code"),
        ('text matches "a"', 'has.code and text matches "a"'),
        ('model.is_up("x")', 'model.is_up("x") and peak("office")'),
        ("session.idle_s > 1m", "session.idle_s > 90s"),
    ],
)
def test_a_rule_inside_an_earlier_one_never_wins(first: str, second: str) -> None:
    assert told(first, second) == [
        f"rules[1] never wins while a model of rules[0] (`{first}`) is left, which holds whenever it does"
    ]


@pytest.mark.parametrize(
    "when",
    ["false", "tokens.in > 5 and tokens.in < 5", 'lang == "a" and lang == "b"', "has.code and not has.code"],
)
def test_a_contradiction_is_told(when: str) -> None:
    assert told(when) == [f"rules[0] never wins: `{when}` contradicts itself"]


@pytest.mark.parametrize(
    ("first", "second", "about"),
    [
        ("tokens.in > 100", "tokens.in < 200", "tokens.in"),
        ('lang in ["de", "fr"]', 'lang in ["fr", "it"]', "lang"),
        ("has.code and tokens.in > 5", "has.code and turn > 3", "has.code"),
    ],
)
def test_rules_that_can_both_hold_overlap(first: str, second: str, about: str) -> None:
    assert told(first, second) == [
        f"rules[0] and rules[1] overlap where both ask about {about}; rules[0] wins"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tokens.in > 200", "tokens.in <= 200"),
        ("has.code", "not has.code"),
        ('lang == "de"', 'lang != "de"'),
        ("has.code", "turn > 3"),
        ('surface == "a"', 'surface == "b"'),
    ],
)
def test_rules_apart_are_no_news(first: str, second: str) -> None:
    assert told(first, second) == []


def test_an_overlap_of_rules_that_pick_the_same_is_no_news() -> None:
    assert told("tokens.in > 100", "tokens.in < 200", same=True) == []


def test_many_overlaps_are_cut_short() -> None:
    found = told(*(f"tokens.in > {i} and tokens.in < {i + 1000}" for i in range(8)))

    assert len(found) == 11
    assert found[-1] == "18 more pairs of rules overlap"
