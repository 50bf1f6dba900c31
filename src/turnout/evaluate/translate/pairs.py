"""One request in another format and back, feature by feature. Floor 6.

There and back: read as the origin's format, written for an upstream of the other, read as that upstream
does, written for an upstream of the origin's format, read again. What differs in the end was lost; if the
second reading has it, on the way back. Notices are those of both writings: what was lost on the way back
was told there.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.codecs.base import Encoded
from turnout.errors import TurnoutError
from turnout.evaluate.translate.features import features, is_kept
from turnout.evaluate.translate.formats import FORMATS, Asked
from turnout.evaluate.translate.says import CAN, causes, is_limited, is_reshaped, is_told
from turnout.evaluate.translate.words import unexplained
from turnout.types.json import Json

Verdict = Literal["kept", "told", "refused", "reshaped", "silent", "lost"]
"""`told`: the other format cannot say it, and a notice said so. `refused`: for its sake the whole request
was. `reshaped`: said in another form that means the same. Bugs: `silent`, gone without a notice; `lost`,
gone though both formats can say it."""


NO_TURN = "(nothing to answer)"
"""Stands for the feature when a request was refused that holds instructions only."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one feature."""

    feature: str
    verdict: Verdict
    back: bool = False
    """On the way back."""
    before: Json = None
    after: Json = None


class Pair(Struct, frozen=True, kw_only=True):
    """One request there and back."""

    origin: str
    other: str
    outcomes: tuple[Outcome, ...]
    added: tuple[str, ...] = ()
    """Features that nobody asked for and that stand in the request that came back."""
    unexplained: tuple[str, ...] = ()
    """Paths of the recorded body whose values are gone though no feature is (`words`): a defect."""
    notices: tuple[str, ...] = ()


def translate(request: Asked, other: str) -> Pair:
    """Take a request to another format and back."""
    here, there = FORMATS[request.format], FORMATS[other]
    asked = here.read(request.http)
    before = features(asked)
    try:
        sent = there.codec.encode(asked, there.upstream())
    except TurnoutError as error:
        return _refused(request, other, before, error, back=False)
    between = there.read(sent.http)
    try:
        returned = here.codec.encode(between, request.origin)
    except TurnoutError as error:
        return _refused(request, other, before, error, back=True)
    after = features(here.read(returned.http))
    middle = features(between)
    outcomes = tuple(
        _outcome(name, (before, middle, after), (sent, returned), (request.format, other)) for name in before
    )
    body = msgspec.json.decode(returned.http.body)
    return Pair(
        origin=request.format,
        other=other,
        outcomes=outcomes,
        added=tuple(name for name in after if name not in before),
        unexplained=unexplained(request.body, body, _gone(outcomes)),
        notices=(*_told(sent), *_told(returned)),
    )


def _gone(outcomes: Sequence[Outcome]) -> list[str]:
    return [each.feature for each in outcomes if each.verdict not in ("kept", "reshaped")]


def _outcome(
    name: str,
    readings: tuple[Mapping[str, Json], Mapping[str, Json], Mapping[str, Json]],
    ways: tuple[Encoded, Encoded],
    pair: tuple[str, str],
) -> Outcome:
    before, middle, after = readings
    value = before[name]
    if is_kept(name, value, after):
        return Outcome(feature=name, verdict="kept")
    back = is_kept(name, value, middle)
    writer = pair[0] if back else pair[1]
    notices = (*_told(ways[0]), *_told(ways[1]))
    verdict: Verdict = "told"
    if is_reshaped(name, writer):
        verdict = "reshaped"
    elif not is_told(name, notices):
        verdict = "silent"
    elif name in CAN[writer] and not is_limited(name, writer):
        verdict = "lost"
    return Outcome(feature=name, verdict=verdict, back=back, before=value, after=after.get(name))


def _refused(
    request: Asked, other: str, before: Mapping[str, Json], error: TurnoutError, *, back: bool
) -> Pair:
    """Return a pair whose request was refused: the features that did it, by the refusal's parameter."""
    found = causes(before, error.param or "", error.message) or (NO_TURN,)
    writer = request.format if back else other
    outcomes = []
    for name in found:
        verdict: Verdict = "refused" if name not in CAN[writer] or is_limited(name, writer) else "lost"
        outcomes.append(Outcome(feature=name, verdict=verdict, back=back, after=error.message))
    return Pair(origin=request.format, other=other, outcomes=tuple(outcomes))


def _told(written: Encoded) -> tuple[str, ...]:
    return (*written.dropped, *written.warnings)
