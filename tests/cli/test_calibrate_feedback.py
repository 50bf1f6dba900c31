"""`turnout calibrate feedback`: what it says without words, and what it may change."""

import json

from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.cli.versions import put_threshold_in_force

TEXT = """
providers: {{one: {{codec: openai_chat, base_url: "http://127.0.0.1:1/v1", auth: none}}}}
models: [one/small, one/large]
routes:
  - name: assistant
    models: [one/small, one/large]
    strategy: {{type: threshold, weak: one/small, strong: one/large, threshold: 0.5}}
    calibration: {calibration}
journal: {{path: '{folder}/journal.db'}}
desk: {{path: '{folder}/desk.db', pepper: {secret}, master_key: {secret}}}
admin: {{config: desk}}
"""


def run(folder, calibration, *more):
    path = folder / "turnout.yaml"
    text = TEXT.format(folder=folder, calibration=calibration, secret="0123456789abcdef" * 4)
    path.write_text(text)
    arguments = ["calibrate", "feedback", "--config", str(path), "--route", "assistant", *more]
    return CliRunner().invoke(cli, arguments), path


def test_nothing_is_applied_unless_the_route_says_so_and_there_is_something(tmp_path):
    found, path = run(tmp_path, "suggest", "--json")
    report = json.loads(found.output)
    assert (found.exit_code, report["of"], report["threshold"], report["n"]) == (0, "complexity", 0.5, 0)
    found, _ = run(tmp_path, "suggest", "--apply")
    assert found.exit_code == 1
    assert "set calibration: apply in it" in found.output
    found, _ = run(tmp_path, "apply", "--apply")
    assert "nothing to apply: something was said of 0 cheap answers" in found.output
    assert put_threshold_in_force(path, "assistant", 0.25, "calibrated") == "v000001"
    shown = CliRunner().invoke(cli, ["config", "versions", "--config", str(path)])
    assert "* v000001" in shown.output
    shown = CliRunner().invoke(cli, ["config", "diff", "v000001", "--config", str(path)])
    assert shown.output == "nothing changes\n"
