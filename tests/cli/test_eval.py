"""`turnout eval`: from tables to scoreboards and reports."""

import json

import pytest

from tests.cli.run import turnout
from tests.evaluate.synthetic import rows, write

pytest.importorskip("numpy")


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "t.csv", rows(200))


def test_a_baseline_is_evaluated_and_the_result_is_the_same_twice(table, tmp_path):
    args = ["eval", "--data", str(table), "--baseline", "category", "--lambda", "20", "--json"]
    first, second = turnout(*args, cwd=tmp_path), turnout(*args, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    board = json.loads(first.stdout)
    assert board["schema"] == "turnout.scoreboard/1"
    assert board["data"]["models"] == ["cheap", "middle", "strong"]


def test_out_gets_the_scoreboard_the_report_and_the_pictures(table, tmp_path):
    out = tmp_path / "out"
    found = turnout("eval", "--data", table, "--baseline", "category", "--out", str(out), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "best single on training data: strong" in found.stdout
    assert {"scoreboard.json", "report.html"} <= {path.name for path in out.iterdir()}
    assert "please" not in (out / "report.html").read_text()
    turnout(
        "eval", "--data", table, "--baseline", "category", "--out", str(out), "--show-prompts", cwd=tmp_path
    )
    assert "sums" in (out / "report.html").read_text()


def test_a_configured_route_is_evaluated_by_its_own_strategy(table, tmp_path):
    config = tmp_path / "turnout.yaml"
    config.write_text(
        "providers: {local: {codec: openai_chat, base_url: 'http://127.0.0.1:9/v1', auth: none}}\n"
        "routes: [{name: r, models: [local/strong, local/cheap], strategy: {type: cheapest}}]\n"
    )
    found = turnout("eval", "--data", table, "-c", str(config), "--route", "r", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    board = json.loads(found.stdout)
    assert (board["router"]["kind"], board["data"]["models"]) == ("route", ["strong", "cheap"])
    router, cheapest = (
        next(each for each in board["lines"] if each["name"] == name) for name in ("route r", "cheapest")
    )
    assert router["quality"]["mean"] == cheapest["quality"]["mean"]


def test_a_trainer_is_fitted_anew_for_every_domain(table, tmp_path):
    found = turnout(
        "eval",
        "--data",
        table,
        "--trainer",
        "kmeans",
        "--protocol",
        "leave_one_domain_out",
        "--json",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["data"]["protocol"] == "leave_one_domain_out"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--trainer", "knn", "--config", "FILE"], "give one of"),
        (["--strong", "strong"], "name both or neither"),
        (["--strong", "strong", "--weak", "nobody"], "no model 'nobody' in the pool"),
        (["--model", "cheap", "--model", "nobody"], "no outcomes of nobody"),
    ],
)
def test_what_cannot_be_evaluated_is_said(table, tmp_path, args, said):
    found = turnout(
        "eval", "--data", table, *[str(table) if each == "FILE" else each for each in args], cwd=tmp_path
    )
    assert found.returncode == 2
    assert said in found.stderr


def test_an_artifact_is_evaluated_as_the_learned_strategy(table, tmp_path):
    made = turnout(
        *("fit", "learned", "--data", table, "--split", "train", "--kind", "knn"),
        *("--no-leave-domain-out", "--out", "a.npz"),
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    found = turnout("eval", "--data", table, "--artifact", "a.npz", "--lambda", "5", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    board = json.loads(found.stdout)
    assert (board["router"]["kind"], board["router"]["strategy"]) == ("artifact", "learned, knn")
    assert board["router"]["price"] == 5
    assert board["data"]["files"] == {"t.csv": board["data"]["files"]["t.csv"]}


def test_an_artifact_of_another_pool_is_refused(table, tmp_path):
    turnout(
        *("fit", "learned", "--data", table, "--kind", "knn", "--no-leave-domain-out", "--out", "a.npz"),
        cwd=tmp_path,
    )
    other = write(tmp_path / "o.csv", [row for row in rows(50) if row["model"] != "middle"])
    found = turnout("eval", "--data", other, "--artifact", "a.npz", cwd=tmp_path)
    assert found.returncode == 2
    assert "the table has no outcomes of middle" in found.stderr


def test_what_an_artifact_was_fitted_on_is_left_out_of_its_report(table, tmp_path):
    fitted = turnout("fit", "learned", "--data", table, "--kind", "knn", "--out", "a.npz", cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    found = turnout("eval", "--data", table, "--artifact", "a.npz", "--json", cwd=tmp_path)
    assert found.returncode == 2
    assert "turnout: the artifact was fitted on" in found.stderr
    assert "fit it on another file, or on one split (`turnout fit learned --split train`)" in found.stderr
