"""Every recorded call of Converse, or for vectors, decoded and written back."""

from collections import Counter

from tests.codecs.recorded import exchanges
from turnout.codecs.bedrock import verify


def test_every_recorded_call_means_the_same_after_decoding(shared):
    checks = [verify.check(record) for record in exchanges(shared, "bedrock", verify.speaks)]
    compared = sum((Counter(check.compared) for check in checks), Counter())
    assert [str(mismatch) for check in checks for mismatch in check.mismatches] == []
    assert (len(checks), compared["tool_calls"], compared["error"], compared["vectors"]) == (196, 162, 8, 26)
