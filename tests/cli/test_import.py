"""`turnout import` at the terminal."""

from click.testing import CliRunner

from tests.cli.run import turnout
from turnout.cli.main import cli
from turnout.config import load_config

LITE = "model_list: [{model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: os.environ/K}}]\n"


def run(*arguments):
    return CliRunner().invoke(cli, ["import", *map(str, arguments)], catch_exceptions=False)


def test_the_configuration_is_written_and_every_key_reported(tmp_path) -> None:
    source, out = tmp_path / "litellm.yaml", tmp_path / "turnout.yaml"
    source.write_text(LITE)
    result = run("litellm", source, "-o", out)
    assert result.exit_code == 0
    assert "3 mapped, 0 approximated, 0 ignored, 0 refused" in result.output
    assert "set K before it is used" in result.output
    assert load_config(out, {"K": "sk-x"}).aliases == {"gpt": "openai/gpt-4o"}


def test_a_refusal_is_exit_status_2_and_the_rest_is_still_written(tmp_path) -> None:
    source, out = tmp_path / "litellm.yaml", tmp_path / "turnout.yaml"
    source.write_text(LITE + "guardrails: [{guardrail_name: x}]\n")
    result = run("litellm", source, "--out", out)
    assert result.exit_code == 2
    assert "refused      guardrails" in result.output
    assert out.exists()


def test_what_cannot_be_imported_is_told_with_its_file(tmp_path) -> None:
    source = tmp_path / "source"
    for text, line in (
        (b"5", "expected a mapping"),
        (b"{}", "no preset with a model; expected {name: {model: …, provider: …}}"),
        (b"\xff", "is not UTF-8 text"),
        (b"{\n]", "line 2, column 1: "),
    ):
        source.write_bytes(text)
        done = turnout("import", "openrouter", source, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"turnout: {source}: {line}")
        assert done.stderr.count("\n") == 1


def test_a_folder_that_is_not_there_is_one_line(tmp_path) -> None:
    source, out = tmp_path / "litellm.yaml", tmp_path / "no" / "turnout.yaml"
    source.write_text(LITE)
    done = turnout("import", "litellm", source, "-o", out, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"turnout: {out}: No such file or directory\n")


def test_rules_come_from_json(tmp_path) -> None:
    source = tmp_path / "rules.json"
    source.write_text('{"routing_rules": {"code": {"primary": "openai/gpt-4o"}}}')
    result = run("rules", source)
    assert result.exit_code == 0
    assert "name: code" in result.output
