"""`turnout fit`: learn from labelled data what a strategy reads. Floor 7."""

import click

from turnout.cli.lazy import Lazy

COMMANDS = {
    "intent": "turnout.cli.fit_intent:intent",
    "learned": "turnout.cli.fit_learned:learned",
    "anchors": "turnout.cli.fit_anchors:anchors",
}


@click.group(cls=Lazy, addresses=COMMANDS)
def fit() -> None:
    """Learn from labelled data what a strategy reads.

    Each command writes one artifact: arrays (.npz) and a card (.json) that says what it was fitted on.
    """
