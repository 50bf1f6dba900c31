"""Writes what fitting the injection guard found: its weights, and its card as JSON and as a page."""

# ruff: noqa: E501  what is printed or read as one stays on one line

import base64
import json
import textwrap
import zlib

import numpy as np

PAGE = """# The injection guard: what it finds, and what it misses

Written by `{command}` on {date}, Python {python}; the numbers are those of [injection.json](injection.json). Bars are
from four folds of what it was fitted on (1 % false alarms for prompts, 0.5 % for documents, moved up by 0.3 logits, which was chosen on `dev`). Everything below was
fitted on by nobody.

| on `dev` of guard/prompts | AUROC | recall at 1 % false alarms | attacks |
|---|---|---|---|
| everything | {dev[auroc]} | {dev[recall_at_1_percent_false_alarms]} | {dev[n]} |
| documents alone (e-mails, code questions) | {dev_documents[auroc]} | {dev_documents[recall_at_1_percent_false_alarms]} | {dev_documents[n]} |
{families}

## At the bar

| set | language | | rate | texts |
|---|---|---|---|---|
{sets}

## How to read it

- *Families never seen*: fitted without the family, ranked against the clean part of `dev`. This is the number for the next
  attack nobody has thought of.
- *Own mails* are sentences of ours (`benchmarks/injection_texts.py`), one half fitted on and the other reported, put together
  at random: they show that a head knows the concepts in a language, not how attacks in that language really look. Twelve
  attacks and twelve clean sentences a language are few.
- Of 39 e-mails of the data set most stand in both splits, clean or attacked: only the attack is new on `dev`. There are 8 clean
  e-mails and 7 clean code questions: their rates are uncertain by ten points and more.
- Many attacks in e-mails are one polite question ("what is the function of the liver?") that says nothing of instructions: at a
  bar where clean mail passes, words alone do not tell them from mail.
- `answers of models` are documents nobody fitted on, of any topic; they hold recipes, letters and code, which give orders too.
"""


def write_weights(root, heads, bars):
    lines = ['"""The heads of the injection guard, written by benchmarks/injection.py. Floor 2."""', ""]
    lines += ["from typing import Final", ""]
    for name, (numbers, scale), bar in zip(("DIRECT", "INDIRECT"), heads, bars, strict=True):
        data = base64.b85encode(zlib.compress(np.array(numbers, np.int8).tobytes(), 9)).decode()
        lines += [
            f"{name}_BAR: Final = {bar:.4f}",
            f"{name}_SCALE: Final = {scale:.8f}",
            f"{name}: Final = (",
        ]
        lines += [f"    {part!r}" if '"' in part else f'    "{part}"' for part in textwrap.wrap(data, 104)]
        lines += [")", ""]
    (root / "src/turnout/guards/injection/weights.py").write_text("\n".join(lines).rstrip() + "\n")


def write_card(root, card):
    folder = root / "benchmarks/results/guards"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "injection.json").write_text(json.dumps(card, indent=1) + "\n")
    families = "\n".join(
        f"| family never seen: {name} | {row['auroc']} | {row['recall_at_1_percent_false_alarms']} | {row['n']} |"
        for name, row in card["unseen_family"].items()
    )
    sets = "\n".join(
        f"| {row['set']} | {row['language']} | {row['kind']} | {row['rate'] * 100:.1f} % | {row['n']} |"
        for row in card["sets"]
    )
    (folder / "injection.md").write_text(PAGE.format(**{**card, "families": families, "sets": sets}))
