"""`turnout calibrate` on files: the certificate, the report, and what is refused."""

import csv
from datetime import UTC, datetime

import msgspec
import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.evaluate.calibrate_gaps import open_artifact, predict_gaps
from turnout.evaluate.metrics import generator
from turnout.learn.certificate import decode
from turnout.stores.sightings import sightings_beside

PAIRS = ("id", "g", "reference_score", "score", "reference_cost_nusd", "cost_nusd", "surface", "collected_at")
ASKED = ("--reference", "large", "--candidate", "small")


def run(*args):
    return CliRunner().invoke(cli, args)


def pairs(path, n=1500, seed=0, changes=()):
    """The cheap model fails more often where the gap is wide."""
    random = generator("pairs", seed)
    rows = [
        [f"i{i:05}", f"{g:.4f}", "1", str(int(u > g / 4)), "100", "10", "chat", f"2026-10-{1 + i % 28:02}"]
        for i, (g, u) in enumerate(random.random((n, 2)))
    ]
    for row, column, cell in changes:
        rows[row - 1][PAIRS.index(column)] = cell
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([PAIRS, *rows])
    return str(path)


def test_pairs_become_a_certificate_and_a_report(tmp_path):
    data, out = pairs(tmp_path / "pairs.csv"), tmp_path / "c.json"
    told = run(
        "calibrate",
        "--data",
        data,
        "--gaps",
        "g",
        *ASKED,
        "--by-surface",
        "--out",
        str(out),
        "--volume",
        "10000",
    )
    assert told.exit_code == 0, told.output
    made = decode(out.read_bytes())
    assert (made.reference, made.candidates, made.epsilon, made.delta) == ("large", ("small",), 0.02, 0.1)
    assert 950 < made.n < 1050
    assert made.tau is not None
    assert (made.sample.begins.day, made.sample.ends.day) == (1, 28)
    assert [segment.name for segment in made.segments] == ["chat"]
    for words in (
        "certified                       naive",
        "the promise costs",
        "5 % more traffic: about",
        "surface chat:",
        "a loss of 0.05 is noticed after about",
        "days",
    ):
        assert words in told.stdout
    assert "items gave up their labels and serve for the thresholds" in told.stderr
    assert f"certificate {made.id}" in told.stderr


def test_the_same_data_gives_the_same_threshold_and_the_report_as_json(tmp_path):
    data, other = pairs(tmp_path / "pairs.csv"), pairs(tmp_path / "other.csv", seed=1)
    args = ("calibrate", "--data", data, "--other", other, "--gaps", "g", *ASKED, "--json")
    found = [msgspec.json.decode(run(*args).stdout) for _ in range(2)]
    same = [(each["certificate"]["tau"], each["certificate"]["sample"]) for each in found]
    assert same[0] == same[1]
    assert (found[0]["n_other"], found[0]["certificate"]["n"]) == (1500, 1500)
    assert found[0]["saving_share_paid"] > 0
    assert [delay["loss"] for delay in found[0]["delays"]] == pytest.approx([0.05, 0.07, 0.12])


def test_too_few_items_certify_nothing_and_say_how_many_are_needed(tmp_path):
    data = pairs(tmp_path / "pairs.csv", n=100)
    told = run("calibrate", "--data", data, "--gaps", "g", *ASKED)
    assert told.exit_code == 0
    assert "at least 127 are needed for a loss of 0.02 at confidence 0.9" in told.stderr
    assert "threshold                       none" in told.stdout


def test_conformal_risk_control_tunes_and_writes_no_certificate(tmp_path):
    data = pairs(tmp_path / "pairs.csv")
    args = ("calibrate", "--data", data, "--gaps", "g", *ASKED, "--method", "crc")
    assert "tuned, not promised: threshold 0." in run(*args).stdout
    refused = run(*args, "--out", str(tmp_path / "c.json"))
    assert "--out: crc tunes a threshold and promises nothing" in str(refused.exception)


def test_outcomes_with_a_column_of_gaps_serve_several_candidates(tmp_path):
    random = generator("outcomes", 0)
    lines = []
    for i, (g, u, v) in enumerate(random.random((1200, 3)).tolist()):
        row = {"prompt": f"question {i}", "item_id": str(i)}
        lines += [
            {**row, "model": "large", "score": 1, "cost_usd": 1e-7},
            {**row, "model": "small", "score": int(u > g / 4), "cost_usd": 1e-8, "g": g},
            {**row, "model": "tiny", "score": int(v > g / 2), "cost_usd": 1e-9, "g": 2 * g},
        ]
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    told = run("calibrate", "--data", str(path), "--gaps", "g", *ASKED, "--candidate", "tiny", "--json")
    assert told.exit_code == 0, told.output
    made = msgspec.json.decode(told.stdout)["certificate"]
    assert made["candidates"] == ["small", "tiny"]
    assert 0 < made["observed"]["share_routed"] < made["naive"]["share_routed"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([(3, "score", "1.5")], r"pairs.csv: row 3: score is 1.5; expected 0-1"),
        ([(4, "id", "i00001")], r"pairs.csv: row 4: id 'i00001' appears twice; it is in row 2 too"),
        ([(5, "g", "nan")], r"pairs.csv: row 5: g is 'nan'; expected a finite number"),
        ([(6, "score", "")], r"row 6: scores are 1.0 and None; expected 0-1"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, changes, problem):
    data, other = pairs(tmp_path / "pairs.csv", n=10, changes=changes), pairs(tmp_path / "other.csv")
    told = run("calibrate", "--data", data, "--other", other, "--gaps", "g", *ASKED)
    assert problem in "\n".join(told.exception.problems)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (
            ("--reference", "large", "--candidate", "large", "--gaps", "g"),
            "--candidate: 'large' is the reference",
        ),
        (ASKED, "--gaps: name the column of predicted gaps, or give an --artifact"),
        ((*ASKED, "--gaps", "h"), "row 1: h is None; expected a finite number"),
        ((*ASKED, "--gaps", "g", "--scorer", "mum:1"), "--scorer: 'mum:1'; expected gold:ID"),
        ((*ASKED, "--gaps", "g", "--unit", "session"), "row 1: no session"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, args, problem):
    told = run("calibrate", "--data", pairs(tmp_path / "pairs.csv", n=10), *args)
    assert problem in "\n".join(told.exception.problems)


def test_a_certificate_may_be_tied_to_a_route(tmp_path):
    config = tmp_path / "turnout.yaml"
    config.write_text(
        "providers: {here: {base_url: 'http://127.0.0.1:1/v1', auth: none}}\n"
        "models:\n"
        "  - {model: here/large, id: large, upstream_model: large-2026-05}\n"
        "  - {model: here/small, id: small, upstream_model: small-2026-05}\n"
        "routes:\n"
        "  - name: r\n"
        "    models: [large, small]\n"
        "    strategy: {type: pipeline, score: [{type: quality, values: {large: 0.9, small: 0.8}}]}\n"
    )
    data, out = pairs(tmp_path / "pairs.csv"), tmp_path / "c.json"
    args = ("calibrate", "--data", data, "--gaps", "g", *ASKED, "-c", str(config), "--route", "r")
    assert run(*args, "--out", str(out)).exit_code == 0
    made = decode(out.read_bytes())
    assert made.policy_sha256 is not None
    assert made.versions == {"here/large": "large-2026-05", "here/small": "small-2026-05"}
    config.write_text(config.read_text().replace("0.8}}]}", f"0.8}}}}]}}\n    certificate: {{file: {out}}}"))
    assert run("check", "-c", str(config)).exit_code == 0


def test_check_says_how_a_certificate_is_doing(tmp_path):
    config, out = tmp_path / "turnout.yaml", tmp_path / "c.json"
    data = pairs(tmp_path / "pairs.csv")
    run("calibrate", "--data", data, "--gaps", "g", *ASKED, "--out", str(out))
    text = (
        "providers: {here: {base_url: 'http://127.0.0.1:1/v1', auth: none}}\n"
        "journal: {path: %s}\n"
        "models:\n"
        "  - {model: here/large, id: large}\n"
        "  - {model: here/small, id: small}\n"
        "  - {model: here/new, id: new}\n"
        "routes:\n"
        "  - name: r\n"
        "    models: [large, small, new]\n"
        "    strategy: {type: pipeline, score: [{type: quality, values: {large: 0.9, small: 0.8}}]}\n"
        "    certificate: {file: %s}\n"
    )
    config.write_text(text % (tmp_path / "journal.db", out))
    made = decode(out.read_bytes())
    told = run("check", "-c", str(config)).stderr
    assert f"route r: certificate {made.id}: holds, 29 days left; a mean loss of at most 0.02" in told
    assert f"certificate {made.id}: never asked first: new" in told
    sightings = sightings_beside(str(tmp_path / "journal.db"))
    for _ in range(40):
        sightings.append(made.id, b'{"loss":1.0}')
    assert "does not hold: loss_alarm" in run("check", "-c", str(config)).stderr
    out.write_bytes(out.read_bytes().replace(b'"n":', b'"n": 1', 1))
    assert "does not hold: changed_document" in run("check", "-c", str(config)).stderr


def test_gaps_predicted_from_a_file_are_those_that_a_live_route_predicts(tmp_path):
    random = generator("live", 0)
    words = ("prove the theorem", "name a river")
    prompts = [f"{words[int(u > 0.4)]} {i}" for i, u in enumerate(random.random(300))]
    with (tmp_path / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "model", "score"])
        for prompt, u in zip(prompts, random.random(300), strict=True):
            rows.writerow([prompt, "large", int(u < (0.95 if "prove" in prompt else 0.7))])
            rows.writerow([prompt, "small", int(u < (0.4 if "prove" in prompt else 0.94))])
    artifact = tmp_path / "a.npz"
    train = str(tmp_path / "train.csv")
    fitted = run("fit", "learned", "--data", train, "--kind", "knn", "--out", str(artifact))
    assert fitted.exit_code == 0, fitted.output
    asked = ["name a river 17", "prove the theorem 18"]
    opened = open_artifact(artifact, datetime.now(UTC))
    expected = predict_gaps(opened, "large", ("small",), asked)["small"]
    config = tmp_path / "turnout.yaml"
    config.write_text(
        "providers: {here: {base_url: 'http://127.0.0.1:1/v1', auth: none}}\n"
        "models: [{model: here/large, id: large}, {model: here/small, id: small}]\n"
        "routes:\n"
        "  - name: r\n"
        "    models: [large, small]\n"
        f"    strategy: {{type: pipeline, score: [{{type: learned, artifact: {artifact}}}]}}\n"
        "    certificate: {reference: large}\n"
        "default_route: r\n"
    )
    live = []
    for prompt in asked:
        decision = msgspec.json.decode(run("route", "-c", str(config), "--json", prompt).stdout)
        by_id = {each["id"]: each["q"] for each in decision["candidates"]}
        live.append(by_id["large"] - by_id["small"])
        assert decision["certificate"] == {"id": "", "uncertified": "not_calibrated"}
    assert live == pytest.approx(expected, abs=1e-6)
    assert live[0] < live[1]
