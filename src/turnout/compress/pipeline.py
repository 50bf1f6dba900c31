"""The steps in their order, and what each took away. Floor 2.

Theory of operation.

1. First what loses nothing (`tidy`), then what changes the shape (`tables`), then what loses the least that
   was asked for (`trim`), then earlier turns (`compact`).
2. Pointers to repeated texts come after all that leaves something out, so that what they point to is there.
   Where the window still does not hold it, the middle goes (`fit`), and pointers are made anew.
3. A text is rewritten only where that makes it shorter, whatever happens to the others.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from turnout.compress.base import Count, Messages, Sizes, in_results, tool_names
from turnout.compress.compact import Older, compacted, extract
from turnout.compress.compact import older as earlier
from turnout.compress.fit import fitted
from turnout.compress.repeats import without_repeats
from turnout.compress.tidy import tabled, tidied
from turnout.compress.trim import trimmed
from turnout.types.chat import ToolResult
from turnout.types.compress import CompressRule, CompressView, Shortened, Step

__all__ = ["Job", "Older", "lossless", "older", "shorten"]


class Job(Struct, frozen=True, kw_only=True):
    """What is to be done with one conversation."""

    rule: CompressRule
    count: Count
    room: float | None = None
    """Tokens that the messages may have; None = nobody knows, or the window is not to be heeded."""
    n_other: float = 0.0
    """Tokens of the request beside its messages: tools."""


class Done(Struct, frozen=True):
    """A conversation after some steps."""

    messages: Messages
    steps: tuple[Shortened, ...] = ()


def shorten(messages: Messages, job: Job, gist: str | None = None) -> tuple[Messages, CompressView]:
    """Shorten a conversation as a rule says.

    Args:
        messages: The conversation.
        job: What is to be done.
        gist: What stands for the earlier turns; None = their sentences.

    Returns the same object where nothing changes.
    """
    sizes = Sizes(job.count)
    n_before = sizes.of(messages)
    done = Done(messages)
    if n_before + job.n_other >= job.rule.min_tokens:
        done = _single(done, job, sizes)
        done = _earlier(done, job, sizes, gist)
        done = _last(done, job, sizes)
    n_after = sizes.of(done.messages)
    too_long = job.room is not None and n_after > job.room
    view = CompressView(
        n_before=ceil(n_before + job.n_other),
        n_after=ceil(n_after + job.n_other),
        steps=done.steps,
        why="still_too_long" if too_long else None,
    )
    return done.messages, view


def older(messages: Messages, job: Job) -> Older | None:
    """Return the turns for which a gist is wanted, as `shorten` will find them."""
    rule = job.rule
    if rule.compact is None:
        return None
    sizes = Sizes(job.count)
    return earlier(_single(Done(messages), job, sizes).messages, rule.compact, sizes)


def _single(done: Done, job: Job, sizes: Sizes) -> Done:
    """Take the steps that look at one tool result at a time."""
    rule = job.rule
    spared = _spared(done.messages, rule.keep_tools)

    def taken(step: Step, rewrite: Callable[[str], str]) -> None:
        nonlocal done
        new, n = in_results(done.messages, rewrite, spared, sizes)
        done = _step(done, step, new, n, sizes)

    if rule.tidy:
        taken("tidy", tidied)
    if rule.tables:
        taken("tables", tabled)
    if (most := rule.tool_tokens) is not None:
        taken("trim", lambda text: trimmed(text, most, job.count))
    return done


def _earlier(done: Done, job: Job, sizes: Sizes, gist: str | None) -> Done:
    rule = job.rule.compact
    found = None if rule is None else earlier(done.messages, rule, sizes)
    if rule is None or found is None:
        return done
    if gist is None:
        gist = extract(found, done.messages, rule, sizes)
    new = compacted(done.messages, found, gist)
    if sizes.of(new) >= sizes.of(done.messages):
        return done
    return _step(done, "compact", new, len(found.indexes), sizes)


def _last(done: Done, job: Job, sizes: Sizes) -> Done:
    before = done
    done = _pointed(done, job.rule, sizes)
    if job.room is None or sizes.of(done.messages) <= job.room:
        return done
    new, n = fitted(before.messages, job.room, sizes)
    done = _step(before, "fit", new, n, sizes)
    return _pointed(done, job.rule, sizes)


def _pointed(done: Done, rule: CompressRule, sizes: Sizes) -> Done:
    if not rule.tidy:
        return done
    spared = _spared(done.messages, rule.keep_tools)
    ids = frozenset(
        part.call_id
        for message in done.messages
        for part in message.parts
        if isinstance(part, ToolResult) and spared(part)
    )
    new, n = without_repeats(done.messages, ids, sizes)
    return _step(done, "repeats", new, n, sizes)


def _step(done: Done, step: Step, new: Messages, n: int, sizes: Sizes) -> Done:
    if n == 0:
        return done
    saved = sizes.of(done.messages) - sizes.of(new)
    return Done(new, (*done.steps, Shortened(step, round(saved), n)))


def _spared(messages: Messages, globs: tuple[str, ...]) -> Callable[[ToolResult], bool]:
    if not globs:
        return _nobody
    names = tool_names(messages)

    def spared(result: ToolResult) -> bool:
        name = result.name or names.get(result.call_id, "")
        return any(fnmatchcase(name, glob) for glob in globs)

    return spared


def _nobody(_: ToolResult) -> bool:
    return False


def lossless(rule: CompressRule) -> CompressRule:
    """Return what a rule does without losing anything."""
    return replace(rule, tool_tokens=None, compact=None, fit=False)
