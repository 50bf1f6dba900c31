"""`turnout background`: the operator's view of the queue."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from turnout.cli.background import background
from turnout.errors import ConfigError
from turnout.stores.queue import Booking, Draft, Sent, Served, SqliteQueue

NOW = datetime(2026, 7, 6, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=365 * 100)


@pytest.fixture
def config(tmp_path):
    path, file = tmp_path / "jobs.db", tmp_path / "turnout.yaml"
    file.write_text(f"background: {{path: {path}}}\n")
    queue = SqliteQueue(path)
    for n, owner in enumerate(("ann", "bob", "ann")):
        booking = Booking(start_at=NOW, latest_at=LATER, model="oai/one", slot="night", price_nusd=1500)
        sent = Sent("/v1/chat/completions", (), b'{"messages":"secret text"}')
        draft = Draft(
            id=f"job_{n}", owner=owner, request_id="req_1", sent=sent, booking=booking, deadline_at=LATER
        )
        queue.submit(draft, NOW, 100)
    (claimed,) = queue.claim("w", NOW, 30, 1)
    queue.finish("w", claimed.job, "done", Served(200, (), b"an answer"), NOW)
    queue.close()
    return file


def run(*arguments):
    return CliRunner().invoke(background, [str(each) for each in arguments])


def test_jobs_of_all_owners_are_listed_newest_first(config):
    lines = run("list", "-c", config).output.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["job_2", "queued"],
        ["job_1", "queued"],
        ["job_0", "done"],
    ]
    assert lines[1].endswith("oai/one in night  bob")
    assert run("list", "-c", config, "--state", "done").output.startswith("job_0")
    assert [
        each["id"] for each in json.loads(run("list", "-c", config, "--json", "--limit", "1").output)
    ] == ["job_2"]


def test_a_job_is_shown_without_what_is_its_owners(config):
    shown = run("show", "job_0", "-c", config).output
    found = json.loads(shown)
    assert (found["owner"], found["state"], found["plan"]["expected_cost_usd"]) == (
        "ann",
        "done",
        "0.0000015",
    )
    assert found["collected_at"] is None
    assert "secret text" not in shown
    assert "an answer" not in shown


def test_jobs_are_cancelled_and_an_ended_one_stays_as_it_is(config):
    assert run("cancel", "job_1", "job_0", "-c", config).output == "job_1  cancelled\njob_0  done\n"
    unknown = run("cancel", "job_9", "-c", config)
    assert (unknown.exit_code, unknown.output) == (1, "Error: no background job 'job_9'\n")


def test_without_a_queue_the_line_says_what_to_set(tmp_path):
    file = tmp_path / "turnout.yaml"
    for text, said in (
        ("version: 1", "background.path: is not set"),
        (f"background: {{path: {tmp_path}/none.db}}", "no gateway has opened it yet"),
    ):
        file.write_text(text)
        error = run("list", "-c", file).exception
        assert isinstance(error, ConfigError)
        assert said in str(error)
    assert not (tmp_path / "none.db").exists()
