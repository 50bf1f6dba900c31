"""The command that hands over to the benchmarks of a checkout."""

from click.testing import CliRunner

from turnout.cli.bench import bench
from turnout.errors import ConfigError


def test_words_go_on_to_the_benchmark_that_is_named(tmp_path, capfd):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "__main__.py").touch()
    (folder / "growth.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    result = CliRunner().invoke(bench, ["--sources", str(tmp_path), "growth", "--quick", "--only", "keys"])
    assert (result.exit_code, capfd.readouterr().out) == (3, "['--quick', '--only', 'keys']\n")


def test_without_the_sources_it_says_where_they_are(tmp_path):
    result = CliRunner().invoke(bench, ["--sources", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "they come with the sources" in result.exception.problems[0]
