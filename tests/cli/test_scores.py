"""`turnout scores`, and `turnout check --expand`."""

import yaml
from click.testing import CliRunner

from turnout.cli.check import check as check_configuration
from turnout.cli.scores import scores
from turnout.strategies.rows import expand, make, written

CONFIG = """\
providers: {openai: {secret: x}, anthropic: {secret: y}}
benchmarks: {files: [FILE]}
routes:
  - name: r
    models: [openai/gpt-5-mini, anthropic/claude-haiku-4-5]
    strategy: {type: cheapest, q_floor: 0.6, benchmark: support, max_cost_per_1k: 0.01}
"""
OWN = """\
model,benchmark,score,date,source
openai/gpt-5-mini,support,0.7,2026-05-01,run 12
claude-haiku-4-5,support,0.9,2026-05-01,run 12
"""


def configured(tmp_path):
    own, config = tmp_path / "own.csv", tmp_path / "turnout.yaml"
    own.write_text(OWN)
    config.write_text(CONFIG.replace("FILE", str(own)))
    return own, config


def test_own_scores_are_checked_listed_and_used(tmp_path):
    own, config = configured(tmp_path)
    run = CliRunner().invoke
    assert run(scores, ["check", str(own)]).output == f"{own}: good; 2 scores of 2 models on support\n"
    listed = run(scores, ["show", "support", "-c", str(config)]).output.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["claude-haiku-4-5", "0.90", "own"],
        ["openai/gpt-5-mini", "0.70", "own"],
    ]
    assert run(check_configuration, ["-c", str(config)]).exit_code == 0


def test_expand_prints_what_a_preset_stands_for(tmp_path):
    _, config = configured(tmp_path)
    result = CliRunner().invoke(check_configuration, ["--expand", "-c", str(config)])
    row = yaml.safe_load(result.stdout)["r"]
    assert (row["type"], row["label"], row["q_floor"]) == ("pipeline", "cheapest", 0.6)
    assert [part["type"] for part in row["score"]] == ["cost", "quality"]
    assert row["filter"] == [
        {"type": "priced", "max_cost_usd": None, "max_cost_per_1k": 0.01, "require_known": False}
    ]


def test_what_is_printed_reads_back_as_the_same_strategy():
    rows = [
        {"type": "fastest", "modify": [{"type": "sticky"}]},
        {"type": "cascade", "accept": {"type": "finish"}},
        {"type": "consensus", "reduce": {"type": "majority"}},
        {"type": "benchmarks", "weights": {"a": 0.5, "b": 0.5}},
        {
            "type": "schedule",
            "windows": [{"strategy": {"type": "best"}, "from": 480, "to": "18:00"}],
            "otherwise": {"type": "round_robin"},
        },
    ]
    for row in rows:
        full = expand(row, "strategy")
        again = make("turnout.strategies", full, "strategy", problems := [])
        assert (written(again), problems) == (full, [])
