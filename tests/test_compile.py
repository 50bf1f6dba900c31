"""From a configuration to what requests are served with: rows, names, defaults, and every problem."""

import pytest

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot, digest
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.strategies.filters import Allowed
from turnout.types.deployment import Credential, Limits
from turnout.types.http import Timeouts
from turnout.types.secret import Secret

CATALOG = Catalog.load()
MINE = "providers: {mine: {base_url: 'http://127.0.0.1:9/v1/', auth: none}}\n"


def compiled(text, env=None, **options):
    return compile_snapshot(parse_config(text, env=env or {}), CATALOG, env or {}, **options)


def problems(text, env=None):
    with pytest.raises(ConfigError) as caught:
        compiled(text, env)
    return list(caught.value.problems)


def keys(rows):
    return f"{MINE}server: {{keys: [{rows}]}}\nmodels: [mine/a]"


def test_a_provider_of_ones_own_needs_only_an_address():
    snapshot = compiled(MINE + "models: [mine/m]")
    made = snapshot.deployments["mine/m"]
    assert (made.url, made.vendor.codec, made.vendor.auth) == ("http://127.0.0.1:9/v1", "openai_chat", "none")
    assert (made.credential, made.upstream_model, made.model.price) == (None, "m", None)
    assert snapshot.models == {"mine/m": (made,)}


def test_a_row_of_the_vendor_table_can_be_had_under_another_name():
    provider = "{vendor: anthropic, base_url: 'https://eu.example.com/v1', secret: k}"
    text = f"providers: {{eu: {provider}}}\nmodels: [eu/claude-haiku-4-5]"
    made = compiled(text).deployments["eu/claude-haiku-4-5"]
    assert (made.vendor.name, made.vendor.codec, made.vendor.auth) == ("eu", "anthropic", "x-api-key")
    assert made.credential == Credential("eu", Secret("k"))


def test_placeholders_of_an_address_are_parameters():
    text = "providers: {azure: {secret: k%s}}\nmodels: [azure/gpt-4o]"
    with_it = compiled(text % ", parameters: {resource: corp}")
    assert "corp.openai.azure.com" in with_it.deployments["azure/gpt-4o"].url
    (line,) = problems(text % "")
    assert line.startswith(
        "providers.azure.parameters: 'resource' is missing; the address is https://{resource}"
    )


def test_a_vendors_key_is_found_in_the_environment_and_the_file_wins():
    text = "models: [openai/gpt-5.4-mini]"
    found = compiled(text, {"OPENAI_API_KEY": "from-env"}).deployments["openai/gpt-5.4-mini"]
    assert found.credential.secret == Secret("from-env")
    text = "providers: {openai: {secret: from-file}}\n" + text
    found = compiled(text, {"OPENAI_API_KEY": "from-env"}).deployments["openai/gpt-5.4-mini"]
    assert found.credential.secret == Secret("from-file")


def test_without_models_and_routes_the_environment_decides():
    everything = compiled("", {"ANTHROPIC_API_KEY": "k"})
    assert {d.vendor.name for d in everything.deployments.values()} == {"anthropic"}
    assert len(everything.deployments) > 10
    assert compiled("").deployments == {}


def test_a_wildcard_is_every_model_the_catalogue_knows_there():
    snapshot = compiled("models: ['anthropic/*']", {"ANTHROPIC_API_KEY": "k"})
    known = {name for name in CATALOG.names() if name.startswith("anthropic/")}
    assert set(snapshot.deployments) == {name for name in known if CATALOG.kind(name) != "other"}


def test_a_row_says_what_the_catalogue_does_not_know_or_has_wrong():
    text = """
timeouts: {connect_s: 1, first_byte_s: 2, idle_s: 3, total_s: 4}
models:
  - {model: mine/a, id: A, upstream_model: x/y:z, weight: 2, priority: 1, region: eu, tags: [t],
     limits: {max_concurrency: 3, max_queue: 0}, price: {input: 0.5, output: 1}, context_window: 10,
     max_output: 5, capabilities: [tools], modalities: [text, image], secret: own}
  - {model: mine/b, timeouts: {total_s: 9}}
"""
    snapshot = compiled(MINE.replace("none", "bearer, secret: k") + text)
    made, other = snapshot.deployments["A"], snapshot.deployments["mine/b"]
    assert (made.upstream_model, made.weight, made.priority, made.region) == ("x/y:z", 2, 1, "eu")
    assert (made.tags, made.limits) == (frozenset({"t"}), Limits(max_concurrency=3, max_queue=0))
    assert (made.model.price.input, made.model.price.output) == (500_000, 1_000_000)
    assert (made.model.context_window, made.model.max_output) == (10, 5)
    assert made.model.capabilities == frozenset({"tools"})
    assert made.credential.secret == Secret("own")
    assert made.timeouts == Timeouts(1, 2, 3, 4)
    assert other.timeouts == Timeouts(10, 60, 60, 9)


def test_a_free_model_is_free_and_not_of_unknown_price():
    made = compiled(MINE + "models: [{model: mine/a, price: {input: 0, output: 0}}]").deployments["mine/a"]
    assert (made.model.price.input, made.model.price.output) == (0, 0)


def test_one_model_may_have_several_deployments_in_order_of_priority():
    text = MINE + "models: [{model: mine/a, id: two, priority: 2}, {model: mine/a, id: one, priority: 1}]"
    assert [d.id for d in compiled(text).models["mine/a"]] == ["one", "two"]


def test_the_only_route_is_the_default():
    routes = MINE + "models: [mine/a]\nroutes: [{name: r, models: [mine/a]}%s]"
    assert compiled(routes % "").default_route == "r"
    assert compiled(routes % ", {name: s, models: [mine/a]}").default_route is None
    named = routes % ", {name: s, models: [mine/a]}" + "\ndefault_route: s"
    assert compiled(named).default_route == "s"


def test_a_route_makes_the_models_it_names():
    snapshot = compiled(MINE + "routes: [{name: r, models: [mine/a, mine/b]}]")
    assert [d.id for d in snapshot.routes["r"].deployments] == ["mine/a", "mine/b"]


def test_a_route_takes_models_by_pattern_in_the_order_it_says():
    text = MINE + "models: [mine/a1, mine/b1, mine/a2]\nroutes: [{name: r, models: ['mine/b*', 'mine/a*']}]"
    assert [d.id for d in compiled(text).routes["r"].deployments] == ["mine/b1", "mine/a1", "mine/a2"]


def test_policy_filters_stand_before_those_a_route_names():
    text = MINE + "routes: [{name: r, models: [mine/a], filter: [{type: capable}]}]"
    assert [each.name for each in compiled(text).routes["r"].filters] == ["allowed", "capable"]
    own = text.replace("{type: capable}", "{type: allowed, deny: [x]}")
    assert compiled(own).routes["r"].filters == (Allowed(deny=("x",)),)


def test_aliases_lead_to_the_end_of_their_chain():
    text = MINE + "models: [mine/a]\nroutes: [{name: r, models: [mine/a]}]\n"
    snapshot = compiled(text + "aliases: {one: two, two: mine/a, three: turnout/r}")
    assert snapshot.aliases == {"one": "mine/a", "two": "mine/a", "three": "turnout/r"}


def test_a_digest_tells_configurations_apart_and_holds_no_secret():
    one, two = (parse_config(f"server: {{port: {port}}}", env={}) for port in (1, 2))
    assert digest(one) == digest(parse_config("server: {port: 1}", env={})) != digest(two)
    secret = "providers: {mine: {base_url: 'http://h', secret: %s}}"
    assert digest(parse_config(secret % "a", env={})) == digest(parse_config(secret % "b", env={}))


def test_recommending_needs_no_credential():
    assert set(compiled("models: [openai/gpt-5.4-mini]", credentials=False).models) == {"openai/gpt-5.4-mini"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("models: [nobody/m]", "providers.nobody: no vendor 'nobody' is known; give it a base_url"),
        (
            "providers: {x: {vendor: nobody}}\nmodels: [x/m]",
            "providers.x: no vendor 'nobody' is known; give it a base_url",
        ),
        (
            "models: [openai/m]",
            "providers.openai: no credential; set OPENAI_API_KEY, or providers.openai.secret",
        ),
        (MINE + "models: [mine]", "models[0].model: 'mine' is not of the form provider/model"),
        (MINE + "models: [mine/]", "models[0].model: 'mine/' is not of the form provider/model"),
        (
            MINE + "models: [mine/a, mine/a]",
            "models[1].id: 'mine/a' stands twice; give one of them another id",
        ),
        (
            MINE + "models: [{model: mine/a, provider: mien}]",
            "providers.mien: no vendor 'mien' is known; give it a base_url",
        ),
        (
            MINE + "models: ['mine/*']",
            "models[0]: 'mine/*' matches no model the catalogue knows; name the models one by one",
        ),
        (MINE + "models: [{model: mine/a, price: {input: 0.0000000001, output: 1}}]", "models[0].price: "),
        (MINE + "routes: [{name: r, models: []}]", "routes[0].models: a route needs at least one model"),
        (
            MINE + "models: [mine/a]\nroutes: [{name: r, models: ['mine/b*']}]",
            "routes[0].models: 'mine/b*' matches no configured model; add one under models:",
        ),
        (
            MINE + "models: [mine/a]\nbackground: {slots: [{name: n, price_factor: 0.5, models: [your]}]}",
            "background.slots[0].models: 'your' matches no configured model or provider",
        ),
        (
            MINE + "routes: [{name: r, models: [mine/a]}, {name: r, models: [mine/b]}]",
            "routes[1].name: 'r' stands twice; give one of them another name",
        ),
        (
            MINE + "routes: [{name: 'a b', models: [mine/a]}]",
            "routes[0].name: 'a b'; expected printable characters without spaces",
        ),
        (MINE + "models: ['mine/a b']", "models: 'mine/a b'; expected printable characters without spaces"),
        (
            MINE + "routes: [{name: r, models: [mine/a], strategy: {type: priorty}}]",
            "routes[0].strategy.type: turnout.strategies: no 'priorty'; did you mean \"priority\"?",
        ),
        (
            MINE + "routes: [{name: r, models: [mine/a], filter: [{type: capabel}]}]",
            "routes[0].filter[0].type: turnout.filters: no 'capabel'; did you mean \"capable\"?",
        ),
        (MINE + "models: [mine/a]\naliases: {a: b, b: a}", "aliases.a: goes round in a circle: a → b → a"),
        (MINE + "models: [mine/a]\naliases: {a: a}", "aliases.a: goes round in a circle: a → a"),
        (
            MINE + "models: [mine/a]\naliases: {x: mine/aa}",
            "aliases.x: 'mine/aa' is neither a model nor turnout/<route>; did you mean \"mine/a\"?",
        ),
        (
            MINE + "routes: [{name: main, models: [mine/a]}]\ndefault_route: mian",
            "default_route: no route 'mian'; did you mean \"main\"?",
        ),
        (
            keys("{name: a, secret: short}"),
            "server.keys[0].secret: shorter than 16 characters; use a long random one",
        ),
        (
            keys("{name: a, secret: 0123456789abcdefg}, {name: a, secret: 0123456789abcdefh}"),
            "server.keys[1].name: 'a' stands twice; give one of them another name",
        ),
        (
            keys("{name: a, secret: 0123456789abcdefg}, {name: b, secret: 0123456789abcdefg}"),
            "server.keys[1].secret: the same as that of 'a'; give each key its own",
        ),
        (
            keys("{name: a, secret: 0123456789abcdefg, default_route: x}"),
            "server.keys[0].default_route: no route 'x'",
        ),
    ],
)
def test_a_problem_is_one_line_with_its_path(text, line):
    found = problems(text)
    assert found[0].startswith(line)
    assert len(found) == 1 + ("b: a}" in text)


def test_all_problems_are_told_at_once():
    text = MINE + "models: [mine, nobody/m, mine/a, mine/a]\naliases: {x: y}\ndefault_route: r"
    assert [line.split(":")[0] for line in problems(text)] == [
        "providers.nobody",
        "models[0].model",
        "models[3].id",
        "aliases.x",
        "default_route",
    ]


def test_no_problem_shows_a_secret():
    text = "providers: {mine: {secret: sk-canary-1, base_url: 'http://h/{x}'}}\n"
    text += "server: {keys: [{name: a, secret: tiny-canary}]}"
    assert "canary" not in "\n".join(problems(text + "\nmodels: [mine/a]"))


def test_a_deployment_has_the_slots_that_name_it_its_model_or_its_provider():
    other = MINE.replace("}}", "}, other: {base_url: 'http://127.0.0.1:8/v1', auth: none}}")
    night = "{name: night, hours: '22:00-06:00', price_factor: 0.5, models: [mine]}"
    rows = f"{{name: all, price_factor: 0.9}}, {night}"
    text = f"{other}models: [mine/a, other/b]\nbackground: {{slots: [{rows}]}}"
    found = compiled(text).deployments
    assert [slot.name for slot in found["mine/a"].slots] == ["all", "night"]
    assert [slot.name for slot in found["other/b"].slots] == ["all"]


async def test_a_host_over_plain_http_can_be_reloaded_away():
    """What was in force until now is judged by its own rules, as requests under way still go there."""
    from tests.engine.kit import config_for
    from turnout.build import build
    from turnout.testing.scripted import ScriptedTransport, Turn

    built = await build(
        config_for(["a", "b"]), {}, transport=ScriptedTransport({"a": [Turn()], "b": [Turn()]})
    )
    built.reload(config_for(["b"]))
    assert tuple(built.engine.snapshot.deployments) == ("b/m",)
    await built.close()


def test_whoever_is_to_count_or_to_make_short_must_be_there_and_able_to():
    text = MINE + "models: [mine/a]\n"
    assert problems(
        text + "counting: {providers: [mine, minee]}\nresponses: {compact: own, compact_with: b}"
    ) == [
        "counting.providers[0]: 'mine' has no counter that is known here; leave it out",
        "counting.providers[1]: no model of 'minee' is configured; did you mean \"mine\"?",
        "responses.compact_with: no model, alias or route 'b'",
    ]
    for name in ("a", "mine/a", "short", "turnout/brief"):
        routes = "routes: [{name: brief, models: [mine/a]}]\naliases: {short: mine/a}\n"
        compiled(f"{text}{routes}responses: {{compact: own, compact_with: {name}}}")
