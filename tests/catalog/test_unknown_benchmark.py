"""A benchmark nobody has scores of: the nearest names, and where to see all."""

from turnout.catalog.benchmarks import unknown_benchmark

KNOWN = ("arc-challenge", "mmlu", "mmlu-pro", "mmlu-redux", "swe-bench")
SHOW = "`turnout scores show` lists the benchmarks"


def test_the_nearest_names_are_told_nearest_first() -> None:
    assert unknown_benchmark("MMLU_pro", KNOWN) == (
        f'no scores of \'MMLU_pro\' are known; did you mean "mmlu-pro" or "mmlu" or "mmlu-redux"? {SHOW}'
    )


def test_a_name_near_to_none_is_sent_to_the_list() -> None:
    assert unknown_benchmark("zzz", KNOWN) == f"no scores of 'zzz' are known; {SHOW}"
