"""Whether everything the demo shows really happened. Floor 7.

Three parties kept books and must agree: the client, the gateway's journal, and each emulator.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from turnout.catalog.prices import UsdPrice
from turnout.cli.demo_cast import BUDGET_USD, LARGE, LOCAL, TRAINEE, Player
from turnout.cli.demo_questions import Told
from turnout.testing.emulator.app import Served
from turnout.types.record import Record
from turnout.types.usage import Price, Usage, cost

_REAL: Final = "the real model answered whole and streamed"
_SHOWN: Final = 3
"""Complaints told per check."""


class Check(Struct, frozen=True):
    """One thing that must be so."""

    claim: str
    wrong: tuple[str, ...] = ()
    """What is not so; empty = the claim holds."""


class Seen(Struct, frozen=True, kw_only=True):
    """Everything there is to compare."""

    told: Sequence[Told]
    records: Mapping[str, Record]
    """Request id -> its Record, read from the journal."""
    n_journal: int
    """Records in the journal, the exam's included."""
    n_sent: int
    """Requests sent, the exam's included."""
    served: Mapping[str, Served]
    """Emulated model -> its own count; the killed one's as it was before."""
    players: Sequence[Player]

    def pairs(self) -> Iterator[tuple[Told, Record]]:
        """Yield every request that has a Record, with it."""
        return (
            (told, self.records[told.request_id]) for told in self.told if told.request_id in self.records
        )


def check(seen: Seen) -> tuple[Check, ...]:
    """Compare everything; nothing is claimed of a real model that takes no part."""
    claims = {**({_REAL: _real} if LOCAL in seen.players else {}), **_CLAIMS}
    return tuple(Check(claim, tuple(test(seen))) for claim, test in claims.items())


def _answered(seen: Seen) -> Iterator[str]:
    for told in seen.told:
        question = told.question
        if told.error and told.error not in question.error:
            yield f"{question.prompt!r}: {told.error}: {told.message[:160]}"
        elif question.error and not told.error:
            yield f"{question.prompt!r} was answered by {told.model}; {question.error[0]} was due"
        elif not told.error and not (told.text or told.tool):
            yield f"{question.prompt!r}: the answer is empty"


def _streamed(seen: Seen) -> Iterator[str]:
    for told in seen.told:
        if told.question.stream and not told.error and told.n_chunks < 2:
            yield f"{told.question.prompt!r}: {told.n_chunks} pieces from {told.model}"


def _real(seen: Seen) -> Iterator[str]:
    kinds = {told.question.stream for told in seen.told if told.model == LOCAL.id and told.text}
    for stream, words in ((False, "a whole answer"), (True, "a stream")):
        if stream not in kinds:
            yield f"{LOCAL.id} never gave {words}"


def _routed(seen: Seen) -> Iterator[str]:
    for told, record in seen.pairs():
        question, decision = told.question, record.decision
        if question.by and told.model not in question.by:
            yield f"{question.prompt!r}: answered by {told.model}, not by {' or '.join(question.by)}"
        if question.reasons and (decision is None or decision.reason not in question.reasons):
            reason = None if decision is None else decision.reason
            yield f"{question.prompt!r}: reason {reason}, not {' or '.join(question.reasons)}"


def _used_tool(seen: Seen) -> Iterator[str]:
    turns = [told for told in seen.told if told.question.tools]
    if len(turns) != 2 or turns[0].tool != "weather_now" or not turns[1].text:
        yield f"{len(turns)} turns, tool {turns[0].tool if turns else ''!r}"
    elif msgspec.json.decode(turns[0].arguments) != {"city": "Lisbon"}:
        yield f"called with {turns[0].arguments}"
    shaped = [told.text for told in seen.told if told.question.shape]
    for text in shaped:
        try:
            found = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            found = None
        if not isinstance(found, dict) or set(found) != {"supplier", "total_eur"}:
            yield f"the structured answer is {text[:80]!r}"


def _kept_to_budget(seen: Seen) -> Iterator[str]:
    spent = 0
    for told, record in seen.pairs():
        if told.question.key == TRAINEE:
            spent += record.outcome.cost_nusd or 0
    if not 0 < spent <= BUDGET_USD * 1e9:
        yield f"{spent} nano-USD were spent of {BUDGET_USD * 1e9:.0f}"
    refused = [told for told in seen.told if told.error == "budget_exceeded"]
    if len(refused) != 1 or refused[0].question.key != TRAINEE:
        yield f"{len(refused)} requests were refused for their budget; one was due"


def _fell_back(seen: Seen) -> Iterator[str]:
    due = [(told, record) for told, record in seen.pairs() if told.question.fallback]
    if not due:
        yield "no request needed it"
    for told, record in due:
        failed = [
            each for each in record.attempts if each.deployment == LARGE.id and each.outcome == "failed"
        ]
        if not failed or record.outcome.n_fallbacks < 1:
            yield f"{told.question.prompt!r}: no failed attempt at {LARGE.id} is on record"


def _recorded(seen: Seen) -> Iterator[str]:
    for told in seen.told:
        if told.request_id not in seen.records:
            yield f"{told.question.prompt!r} ({told.request_id or 'no request id'}) has no Record"
    if seen.n_journal != seen.n_sent:
        yield f"{seen.n_sent} requests were sent, {seen.n_journal} Records are in the journal"


def _agreed(seen: Seen) -> Iterator[str]:
    for told, record in seen.pairs():
        outcome = record.outcome
        usage = outcome.usage or Usage()
        if (outcome.error or "") != told.error or (not told.error and outcome.model != told.model):
            was, now = outcome.error or outcome.model, told.error or told.model
            yield f"{told.request_id}: recorded {was}, seen {now}"
        elif not told.error and (usage.n_input, usage.n_output) != (told.n_in, told.n_out):
            yield (
                f"{told.request_id}: recorded {usage.n_input} + {usage.n_output} tokens,"
                f" seen {told.n_in} + {told.n_out}"
            )


def _counted(seen: Seen) -> Iterator[str]:
    for player in seen.players:
        if not player.is_emulated:
            continue
        served = seen.served.get(player.model, Served())
        n_in = n_out = 0
        for record in seen.records.values():
            for attempt in record.attempts:
                if attempt.deployment == player.id and attempt.usage is not None:
                    n_in, n_out = n_in + attempt.usage.n_input, n_out + attempt.usage.n_output
        if (n_in, n_out) != (served.input_tokens, served.output_tokens):
            yield (
                f"{player.id}: recorded {n_in} + {n_out} tokens, served"
                f" {served.input_tokens} + {served.output_tokens}"
            )


def _priced(seen: Seen) -> Iterator[str]:
    prices = {player.id: price_of(player) for player in seen.players}
    for record in seen.records.values():
        billed = [each for each in record.attempts if each.usage is not None]
        due = sum(cost(each.usage, prices[each.deployment]) for each in billed if each.usage is not None)
        if record.outcome.error is None and (record.outcome.cost_nusd, record.outcome.cost_state) != (
            due,
            "exact",
        ):
            yield f"{record.request_id}: {record.outcome.cost_nusd} nano-USD recorded, {due} due"


def price_of(player: Player) -> Price:
    """Return a player's price, exactly."""
    return UsdPrice(input=Decimal(player.input_usd), output=Decimal(player.output_usd)).exact()


def complaints(check: Check) -> str:
    """Return what is wrong in a few words."""
    more = len(check.wrong) - _SHOWN
    return "; ".join(check.wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


_CLAIMS: Final[Mapping[str, Callable[[Seen], Iterator[str]]]] = {
    "every request was answered, or refused where it had to be": _answered,
    "every stream came in pieces": _streamed,
    "every answer came from where the rules send it, for the reason on record": _routed,
    "the tool was called and its result used; the structured answer has its shape": _used_tool,
    "a key past half its budget was sent to a cheaper model, then refused; it spent no more than it had": (
        _kept_to_budget
    ),
    "after its process was killed, another vendor answered for the large model": _fell_back,
    "the journal holds one Record per request, and no other": _recorded,
    "the Records say what the client saw: model, tokens, errors": _agreed,
    "tokens on record equal what the emulators counted themselves": _counted,
    "costs on record are those tokens at the stated prices": _priced,
}
