"""On sessions made of published function calls: 30 % fewer tokens, and all that checks need still there."""

import pytest

from turnout.evaluate.compress import count, read_conversations
from turnout.types.compress import Compact, CompressRule


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        (CompressRule(min_tokens=0), 0.10),
        (CompressRule(min_tokens=0, compact=Compact(above_tokens=1_000, to_tokens=500)), 0.30),
    ],
)
def test_sessions_get_shorter_and_keep_what_checks_need(shared, rule, least):
    read = read_conversations(shared / "data" / "bfcl" / "bfcl_v1.parquet", None, turns=12)
    found = count(read, rule)
    assert found.saved >= least
    assert found.n_checked > 70
    assert found.n_whole == found.n_checked
