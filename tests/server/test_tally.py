"""Numbers that several processes count together."""

from prometheus_client.parser import text_string_to_metric_families

from turnout.server.families import FAMILIES
from turnout.server.tally import Family, Tally, forget

COUNTED = Family(name="x_requests", kind="counter", about="Requests.", labels=("route", "end"), most=3)
OPEN = Family(name="x_open", kind="gauge", about="Open.")
STATE = Family(name="x_state", kind="gauge", about="Worst.", merge="max")
WAITED = Family(name="x_seconds", kind="histogram", about="Waits.", labels=("route",), buckets=(0.1, 1))
FOUR = (COUNTED, OPEN, STATE, WAITED)


def samples(tally: Tally) -> dict[tuple[str, ...], float]:
    """What Prometheus reads."""
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(tally.text().decode())
        for sample in family.samples
    }


def counted(tally: Tally, route: str, seconds: float) -> None:
    tally.numbers[tally.at("x_requests", route, "ok")] += 1
    at = tally.at("x_seconds", route)
    tally.numbers[at + (0 if seconds <= 0.1 else 1 if seconds <= 1 else 2)] += 1
    tally.numbers[at + 3] += seconds


def test_processes_are_added_up_and_a_dead_one_leaves_its_counts_and_no_gauges(tmp_path):
    one, two = Tally(FOUR, tmp_path), Tally(FOUR, tmp_path)
    counted(one, 'a "b"\n\\', 0.1)
    counted(two, 'a "b"\n\\', 0.5)
    counted(two, 'a "b"\n\\', 7)
    for tally, n in ((one, 2.0), (two, 5.0)):
        tally.set("x_open", to=n)
        tally.set("x_state", to=n)
    route = 'route=a "b"\n\\'
    expected = {
        ("x_requests_total", "end=ok", route): 3.0,
        ("x_open",): 7.0,
        ("x_state",): 5.0,
        ("x_seconds_bucket", "le=0.1", route): 1.0,
        ("x_seconds_bucket", "le=1.0", route): 2.0,
        ("x_seconds_bucket", "le=+Inf", route): 3.0,
        ("x_seconds_count", route): 3.0,
        ("x_seconds_sum", route): 7.6,
    }
    assert samples(one) == samples(two) == expected
    (dead,) = tmp_path.glob(f"{two._name}.num")
    dead.rename(dead.with_name("99999-dead.num"))
    (tmp_path / f"{two._name}.key").rename(tmp_path / "99999-dead.key")
    forget(tmp_path, 99999)
    assert samples(one) == {**expected, ("x_open",): 2.0, ("x_state",): 2.0}


def test_series_beyond_the_most_are_counted_as_other():
    tally = Tally(FOUR)
    for n in range(10):
        tally.numbers[tally.at("x_requests", f"r{n}", "ok")] += 1
    assert samples(tally) == {
        **{("x_requests_total", "end=ok", f"route=r{n}"): 1.0 for n in range(3)},
        ("x_requests_total", "end=other", "route=other"): 7.0,
    }
    assert tally.n_other == 7


def test_a_full_file_counts_on_in_the_room_kept_for_other():
    tally = Tally(FOUR, n_bytes=8 * (1 + 1 + 1 + 4 + 4))
    for n in range(3):
        counted(tally, f"r{n}", 0.05)
    tally.set("x_open", to=1)
    found = samples(tally)
    assert sum(value for name, value in found.items() if name[0] == "x_requests_total") == 3.0
    assert sum(value for name, value in found.items() if name[0] == "x_seconds_count") == 3.0
    assert ("x_seconds_count", "route=other") in found


def test_every_family_is_read_back_by_prometheus_own_parser():
    tally = Tally(FAMILIES)
    for family in FAMILIES:
        tally.numbers[tally.at(family.name, *family.labels)] += 1
    read = {family.name: family.type for family in text_string_to_metric_families(tally.text().decode())}
    assert read == {family.name: family.kind for family in FAMILIES}


def test_what_is_new_since_the_scrape_before_is_in_the_next(tmp_path):
    one, two = Tally(FOUR, tmp_path), Tally(FOUR, tmp_path)
    counted(two, "a", 0.5)
    before = samples(one)
    counted(two, "b", 0.5)
    counted(one, "b", 7)
    assert samples(one) == {
        **before,
        ("x_requests_total", "end=ok", "route=b"): 2.0,
        ("x_seconds_bucket", "le=0.1", "route=b"): 0.0,
        ("x_seconds_bucket", "le=1.0", "route=b"): 1.0,
        ("x_seconds_bucket", "le=+Inf", "route=b"): 2.0,
        ("x_seconds_count", "route=b"): 2.0,
        ("x_seconds_sum", "route=b"): 7.5,
    }
