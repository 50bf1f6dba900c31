"""A ledger beside a list of all that happened: what is used must be what that list says."""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from turnout.stores.ledger.base import Fixed, Granted, Held, Refused, Sliding, Take, cells_of
from turnout.stores.ledger.memory import MemoryLedger
from turnout.testing.ledger import START, Time

SPANS = {
    "day": Fixed(START, START + 86_400),
    "minute": Sliding(60.0),
    "second": Sliding(1.0),
    "places": Held(),
}
LIMITS = {"day": 1000, "minute": 100, "second": 20, "places": 3}


class Model(RuleBasedStateMachine):
    """Reserve, settle, release, expire and clock jumps in any order, beside a list of all that happened."""

    def __init__(self):
        super().__init__()
        self.time = Time()
        self.written = {}
        self.closed = set()
        self.n = 0

    @initialize()
    def begin(self):
        self.ledger = self.make()

    def make(self):
        return MemoryLedger(self.time)

    def do(self, call):
        return asyncio.run(call)

    def expected(self, name):
        span, now = SPANS[name], self.time.now
        return sum(
            amount
            for entries in self.written.values()
            for account, cell, amount in entries
            if account == name and cells_of(span, now)[0] <= cell <= cells_of(span, now)[1]
        )

    @rule(
        wanted=st.dictionaries(st.sampled_from(sorted(SPANS)), st.integers(0, 30), min_size=1),
        lease=st.sampled_from([1.0, 30.0, 120.0]),
    )
    def reserve(self, wanted, lease):
        takes = [
            Take(name, SPANS[name], min(amount, 1) if name == "places" else amount, LIMITS[name])
            for name, amount in wanted.items()
        ]
        self.n += 1
        before = [self.expected(take.account) for take in takes]
        found = self.do(self.ledger.reserve(f"r{self.n}", takes, lease_s=lease))
        misfits = [
            i for i, (t, used) in enumerate(zip(takes, before, strict=True)) if used + t.amount > t.limit
        ]
        if misfits:
            assert isinstance(found, Refused)
            assert (found.index, found.used) == (misfits[0], before[misfits[0]])
            return
        assert found == Granted(tuple(used + t.amount for used, t in zip(before, takes, strict=True)))
        self.written[f"r{self.n}"] = [
            (t.account, cells_of(t.span, self.time.now)[1], t.amount) for t in takes
        ]
        self.leases = {**getattr(self, "leases", {}), f"r{self.n}": self.time.now + lease}

    @precondition(lambda self: self.written)
    @rule(data=st.data(), share=st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0]))
    def settle(self, data, share):
        name = data.draw(st.sampled_from(sorted(self.written)))
        entries = self.written[name]
        amounts = [int(amount * share) for _, _, amount in entries]
        done = self.do(self.ledger.settle(name, amounts))
        assert done is (name not in self.closed)
        if done:
            self.closed.add(name)
            self.written[name] = [
                (account, cell, 0 if account == "places" else used)
                for (account, cell, _), used in zip(entries, amounts, strict=True)
            ]

    @rule(by=st.sampled_from([0.01, 0.3, 1.0, 7.0, 61.0, 500.0]))
    def wait(self, by):
        self.time.now = min(self.time.now + by, START + 80_000)

    @rule()
    def sweep(self):
        leases = getattr(self, "leases", {})
        ended = {name for name, at in leases.items() if at <= self.time.now}
        self.leases = {name: at for name, at in leases.items() if name not in ended}
        assert set(self.do(self.ledger.sweep())) == ended - self.closed
        for name in ended - self.closed:
            self.written[name] = [
                (account, cell, 0 if account == "places" else amount)
                for account, cell, amount in self.written[name]
            ]

    @invariant()
    def what_is_used_is_what_happened(self):
        if not hasattr(self, "ledger"):
            return
        takes = [Take(name, span, 0, None) for name, span in SPANS.items()]
        assert self.do(self.ledger.used(takes)) == tuple(self.expected(name) for name in SPANS)

    def teardown(self):
        if hasattr(self, "ledger"):
            asyncio.run(self.ledger.close())
