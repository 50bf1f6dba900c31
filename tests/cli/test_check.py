"""`turnout check`, `turnout --help` and how every command fails."""

import json

import click
import pytest
import yaml
from click.testing import CliRunner

from tests.cli.run import turnout
from turnout.cli.check import EXAMPLE
from turnout.cli.main import COMMANDS, cli
from turnout.config import json_schema, parse_config, to_builtins
from turnout.engine.snapshot import NO_MODEL_SERVED

KEYS = {"OPENAI_API_KEY": "sk-canary-openai", "ANTHROPIC_API_KEY": "sk-canary-anthropic"}
LOCAL = """
providers: {mine: {base_url: "http://127.0.0.1:9/v1", auth: none}}
models: [{model: mine/m, price: {input: 0, output: 0}}]
routes: [{name: r, models: [mine/m]}]
"""


def check(tmp_path, text, *arguments, env=None):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return turnout("check", "-c", path, *arguments, cwd=tmp_path, env=env), path


def test_the_example_checks_clean_given_its_two_keys(tmp_path):
    shown = turnout("check", "--example", cwd=tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, EXAMPLE, "")
    result, path = check(tmp_path, shown.stdout, env=KEYS)
    assert result.returncode == 0
    assert result.stderr == f"turnout: {path}: good; deployments: 3, routes: 1\n"


def test_the_effective_configuration_is_printed_with_secrets_hidden(tmp_path):
    as_yaml, _ = check(tmp_path, EXAMPLE, env=KEYS)
    as_json, _ = check(tmp_path, EXAMPLE, "--json", env=KEYS)
    assert yaml.safe_load(as_yaml.stdout) == json.loads(as_json.stdout)
    assert yaml.safe_load(as_yaml.stdout) == json.loads(
        json.dumps(to_builtins(parse_config(EXAMPLE, env=KEYS)))
    )
    assert "canary" not in as_yaml.stdout + as_yaml.stderr + as_json.stdout
    assert yaml.safe_load(as_yaml.stdout)["providers"]["openai"]["secret"] == "***"


def test_the_schema_is_printed_as_json(tmp_path):
    result = turnout("check", "--schema", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads(json.dumps(json_schema()))


def test_without_a_file_the_environment_decides(tmp_path):
    result = turnout("check", cwd=tmp_path, env={"OPENAI_API_KEY": "sk-x"})
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1].startswith("turnout: environment: good; deployments: ")
    empty = turnout("check", cwd=tmp_path)
    assert (empty.returncode, empty.stderr.splitlines()) == (
        0,
        [f"turnout: {NO_MODEL_SERVED}", "turnout: environment: good; deployments: 0, routes: 0"],
    )
    (tmp_path / "turnout.yaml").write_text(LOCAL)
    found = turnout("check", cwd=tmp_path)
    assert found.stderr == "turnout: turnout.yaml: good; deployments: 1, routes: 1\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            EXAMPLE,
            [
                "providers.openai.secret: the environment variable OPENAI_API_KEY is not set",
                "providers.anthropic.secret: the environment variable ANTHROPIC_API_KEY is not set",
            ],
        ),
        (
            "models: [openai/gpt-5.4-mini]",
            ["providers.openai: no credential; set OPENAI_API_KEY, or providers.openai.secret"],
        ),
        ("nope: 1", ["nope: unknown key; known: "]),
        (
            "models: [nobody/m]",
            ["providers.nobody: no vendor 'nobody' is known; give it a base_url, or name a row with vendor:"],
        ),
        (
            "server: {host: 0.0.0.0}",
            ["server.keys: 0.0.0.0 is not loopback; add at least one key, or bind 127.0.0.1"],
        ),
        (
            "server: {host: 0.0.0.0, keys: [{name: a, secret: 0123456789abcdef0}]}",
            ["server.tls: 0.0.0.0 is not loopback; give tls.cert and tls.key, or set behind_proxy: true"],
        ),
        (
            LOCAL.replace(":9/", ":4000/"),
            ["mine/m: its address http://127.0.0.1:4000/v1 is this gateway's own; requests would loop"],
        ),
        (
            LOCAL.replace("auth: none", 'secret: "a\\u00e9"'),
            ["credential 'mine' holds characters outside ASCII"],
        ),
        (
            LOCAL.replace("http://127.0.0.1:9", "http://example.com"),
            ["http://example.com: plain HTTP is allowed to loopback or with allow_http only"],
        ),
    ],
)
def test_a_problem_is_one_line_and_the_status_is_2(tmp_path, text, lines):
    result, path = check(tmp_path, text)
    told = result.stderr.splitlines()
    assert (result.returncode, result.stdout, len(told)) == (2, "", len(lines))
    for line, expected in zip(told, lines, strict=True):
        assert line.startswith(f"turnout: {path}: ")
        assert expected in line


def test_what_deserves_a_look_is_a_warning(tmp_path):
    result, _ = check(tmp_path, LOCAL.replace(", price: {input: 0, output: 0}", ""))
    assert result.returncode == 0
    assert "turnout: mine/m: the price is not known; cost will be reported as unknown\n" in result.stderr


NO_FILE = "none.yaml: no such file; `turnout check --example` prints one to start from"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("nope", "No such command 'nope'; see `turnout --help`"),
        ("serv", "No such command 'serv'. Did you mean 'serve'?; see `turnout --help`"),
        (
            "serve --journal foo",
            "--journal: store is a word that names none; expected sqlite or postgres://…",
        ),
        ("check --nope", "No such option '--nope'; see `turnout check --help`"),
        (
            "serve --port x",
            "Invalid value for '--port': 'x' is not a valid integer range; see `turnout serve --help`",
        ),
        ("check -c none.yaml", NO_FILE),
        ("serve -c none.yaml", NO_FILE),
        ("route -c none.yaml x", NO_FILE),
        ("route", "give a PROMPT, or --request FILE; see `turnout route --help`"),
        (
            "route --request x.json",
            "Invalid value for '--request': 'x.json': No such file or directory; see `turnout route --help`",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(tmp_path, command, line):
    result = turnout(*command.split(), cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"turnout: {line}\n")


def below(command, name):
    """Yield a command and all of its subcommands."""
    yield name, command
    context = click.Context(command)
    for word in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from below(command.get_command(context, word), f"{name} {word}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name):
    for path, command in below(cli.get_command(click.Context(cli), name), name):
        sentence = (command.help or "").strip().partition("\n\n")[0]
        assert (path, sentence[-1:] in (".", "?", ":")) == (path, True)
        for option in command.params:
            if isinstance(option, click.Option):
                assert (path, option.name, bool(option.help)) == (path, option.name, True)
        result = CliRunner().invoke(command, ["--help"])
        assert (path, result.exit_code, result.output[:6]) == (path, 0, "Usage:")


def test_the_help_names_every_command_with_a_sentence(tmp_path):
    result = turnout("--help", cwd=tmp_path)
    listed = {
        line.split()[0]: line.split(maxsplit=1)[1]
        for line in result.stdout.partition("Commands:\n")[2].splitlines()
    }
    assert list(listed) == list(COMMANDS)
    assert all(sentence.endswith((".", "...", "?")) for sentence in listed.values())


def test_the_version_is_told(tmp_path):
    import turnout as package

    assert turnout("--version", cwd=tmp_path).stdout == f"turnout, version {package.__version__}\n"
