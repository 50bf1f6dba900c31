"""Transfer, the published protocol: `python -m benchmarks.routing.transfer`.

Fitted on other tables, reported on RouteLLM's three whole test sets, which nothing was chosen on.

1. Pairs were declared before the first run, not chosen by result: RouteLLM's own pair where a table has it
   (RouterBench, AlpacaEval), else a model of the strong one's class against one of the weak one's, or a good
   one against a poor one of a pool of small ones. All become the columns "strong" and "weak".
2. At most 1,500 prompts a table, by a seeded draw, so that no table drowns the others.
3. A training prompt goes if its first 100 letters and digits, or its question without the options, are those
   of a prompt to be reported on. ZeroEval's `gsm` is GSM8K's test set and goes by this rule.
4. Rows marked as contaminated are left out of the report. MT-Bench routes on turn 1 and averages both turns.
5. Every setting is chosen by cross-validation inside the training rows.
"""

import argparse
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from msgspec import Struct

from benchmarks.machine import facts
from benchmarks.routing.matrices import RESULTS, SHARED, matrix, rows_of
from benchmarks.routing.pooled import STRONG, WEAK, tables
from turnout.evaluate.copies import overlap_key
from turnout.evaluate.fit import encoder_of
from turnout.evaluate.metrics import apgr, cpt, generator, pgr_curve
from turnout.evaluate.queries import queries
from turnout.learn.base import Floats, Labels, Queries
from turnout.learn.measures import MEASURES
from turnout.learn.pooled_fit import PooledLogistic

MOST = 1_500
SHORTEST_STEM = 20
"""Letters and digits that a question needs to be compared without its options."""
RESAMPLES = 1_000
TARGETS = (0.5, 0.8)
PUBLISHED = {
    "mmlu": "best .603, CPT50 35.4 % (secondary)",
    "gsm8k": "best .622 (secondary)",
    "mt_bench": "best .802, CPT50 13.4 %, CPT80 31.3 % (secondary)",
}
"""RouteLLM (2406.18665), as ROUTING.md section 8 has them."""


class Source(Struct, frozen=True):
    """A table to learn from, with the pair that stands for strong and weak."""

    path: str
    strong: str
    weak: str
    keep: dict[str, str] = {}


MIXTRAL = "Mixtral-8x7B-Instruct-v0.1"
JUDGE = {"judge": "alpaca_eval_gpt4_turbo_fn", "baseline": "gpt4_1106_preview"}
SOURCES = (
    Source("routerbench/routerbench_0shot.parquet", STRONG, "mistralai/mixtral-8x7b-chat"),
    Source("alpaca_eval/preferences.parquet", "", MIXTRAL, JUDGE),
    Source("mmlu_pro/mmlu_pro.parquet", "gemini-1.5-pro-002", MIXTRAL),
    Source("zeroeval/math.parquet", "gpt-4o-2024-05-13", "gpt-3.5-turbo-0125"),
    Source(
        "llmrouter/llmrouter_default.parquet", "llama-3.1-nemotron-51b-instruct", "mistral-7b-instruct-v0.3"
    ),
    Source(
        "routerdc7/routerdc7.parquet",
        "cognitivecomputations/dolphin-2.9-llama3-8b",
        "mistralai/Mistral-7B-v0.1",
    ),
)
SETS = {"same pair": 2, "all tables": len(SOURCES)}
"""Name -> how many of `SOURCES`."""


class Test(Struct, frozen=True, eq=False):
    """What is reported on: one row a question."""

    prompts: tuple[str, ...]
    groups: np.ndarray
    scores: Floats
    """Strong, weak."""


def stem(prompt: str) -> str:
    """Letters and digits of a question without its options and without the word before it."""
    text = re.split(r"\n\s*\(?A[.):]", prompt, maxsplit=1)[0].strip().lower().removeprefix("question:")
    return "".join(filter(str.isalnum, text))


def test_of(name: str) -> Test:
    if name == "mt_bench":
        found = matrix("routellm/mt_bench.parquet", ("score",), {"contaminated": False})
        columns = [found.models.index(STRONG), found.models.index(WEAK)]
        return Test(found.prompts, np.arange(len(found.prompts)), found.values["score"][:, columns])
    grid = tables(SHARED, name)
    groups = np.unique([item.prompt_id for item in grid.items], return_inverse=True)[1]
    return Test(tuple(item.prompt for item in grid.items), groups, grid.scores)


def source_rows(source: Source) -> tuple[tuple[str, ...], Floats]:
    """Return a table's prompts with both scores. A preference is the strong one's loss."""
    found = matrix(source.path, ("score",), source.keep or None)
    weak = found.values["score"][:, found.models.index(source.weak)]
    strong = 1 - weak
    if source.strong:
        strong = found.values["score"][:, found.models.index(source.strong)]
    both = np.stack((strong, weak), axis=1)
    known = np.flatnonzero(~np.isnan(both).any(axis=1))
    return tuple(found.prompts[i] for i in known), np.clip(both[known], 0, 1)


def training(sources: Sequence[Source], test: Test) -> tuple[tuple[str, ...], Floats, list[dict]]:
    heads = {overlap_key(prompt) for prompt in test.prompts}
    stems = {key for prompt in test.prompts if len(key := stem(prompt)) >= SHORTEST_STEM}
    prompts: list[str] = []
    scores, told = [], []
    for source in sources:
        mine, values = source_rows(source)
        clean = [i for i, p in enumerate(mine) if overlap_key(p) not in heads and stem(p) not in stems]
        kept = np.sort(generator(f"transfer {source.path}", 0).permutation(clean)[:MOST])
        prompts += [mine[i] for i in kept]
        scores.append(values[kept])
        told.append({"table": source.path, "left_out": len(mine) - len(clean), "used": len(kept)})
    return tuple(prompts), np.concatenate(scores), told


class Vectors:
    """Prompts as numbers, each encoded once."""

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder_of(encoder)
        self.place: dict[str, int] = {}
        self.whole = Queries(np.empty((0, self.encoder.dimensions)), np.empty((0, len(MEASURES))))

    def of(self, prompts: Sequence[str]) -> Queries:
        new = [p for p in dict.fromkeys(prompts) if p not in self.place]
        self.place |= {p: len(self.place) + i for i, p in enumerate(new)}
        if new:
            more = queries(new, self.encoder)
            self.whole = Queries(
                np.concatenate((self.whole.embeddings, more.embeddings)),
                np.concatenate((self.whole.measures, more.measures)),
            )
        return rows_of(self.whole, np.array([self.place[p] for p in prompts]))


def line(name: str, wish: Floats, test: Test, key: str) -> dict:
    """Return area and shares with intervals from the same resamples of prompts for every line."""
    curve = pgr_curve(wish, *test.scores.T)
    members = [np.flatnonzero(test.groups == g) for g in range(test.groups.max() + 1)]
    draws = generator(f"transfer {key}", 0).integers(len(members), size=(RESAMPLES, len(members)))
    areas, shares = [], {target: [] for target in TARGETS}
    for draw in draws:
        rows = np.concatenate([members[g] for g in draw])
        strong, weak = test.scores[rows].T
        if strong.mean() <= weak.mean():
            continue
        again = pgr_curve(wish[rows], strong, weak)
        areas.append(apgr(again))
        for target in TARGETS:
            shares[target].append(cpt(again, target) or 1.0)
    return {
        "name": name,
        "apgr": apgr(curve),
        "apgr_95": np.quantile(areas, (0.025, 0.975)).tolist(),
        **{f"cpt{target:.0%}"[:-1]: cpt(curve, target) for target in TARGETS},
        **{
            f"cpt{target:.0%}_95".replace("%", ""): np.quantile(shares[target], (0.025, 0.975)).tolist()
            for target in TARGETS
        },
    }


def report(name: str, encoders: Sequence[Vectors]) -> dict:
    test = test_of(name)
    strong, weak = test.scores.T
    lengths = np.array([len(prompt) for prompt in test.prompts], dtype=float)
    chance = generator("random", 0).random(len(lengths))
    lines = [
        line("random", chance, test, name),
        line("prompt length alone", lengths, test, name),
        line("best possible", strong - weak, test, name),
    ]
    sources: dict[str, list[dict]] = {}
    for words, n in SETS.items():
        prompts, scores, sources[words] = training(SOURCES[:n], test)
        for vectors in encoders:
            labels = Labels(models=("strong", "weak"), queries=vectors.of(prompts), scores=scores)
            mean = PooledLogistic().fit(labels).predict(vectors.of(test.prompts)).mean
            label = f"{words}, {vectors.encoder.id.split('/')[0].split('(')[0]}"
            lines.append(line(label, mean[:, 0] - mean[:, 1], test, name))
            print(name, lines[-1], flush=True)
    return {
        "table": name,
        "n": len(lengths),
        "strong": float(strong.mean()),
        "weak": float(weak.mean()),
        "sources": sources,
        "lines": lines,
        "published": PUBLISHED[name],
    }


def markdown(found: dict) -> str:
    where = ", ".join(found["machine"].values())
    lines = [
        "# Transfer to RouteLLM's test sets",
        "",
        f"`{found['command']}` on {found['date']}, {where}.",
        "",
        "Fitted on other tables; prompts in common are left out. 95 % intervals by bootstrap over prompts.",
        "Published figures come from other training data (among it chat comparisons that are not at hand",
        "here), so they stand beside these for size, not as a contest. An interval that contains .5 shows no",
        "ability to transfer.",
        "",
    ]
    for table in found["tables"]:
        lines += [
            f"## {table['table']}",
            "",
            _about(table),
            "",
            "| router | APGR | CPT50 | CPT80 |",
            "|---|---|---|---|",
            *(_row(each) for each in table["lines"]),
            "",
        ]
        used = ", ".join(
            f"{each['table'].split('/')[0]} {each['used']} ({each['left_out']} left out)"
            for each in table["sources"]["all tables"]
        )
        lines += [f"Learned from: {used}.", ""]
    return "\n".join(lines)


def _about(table: dict) -> str:
    pair = f"strong {table['strong']:.4f}, weak {table['weak']:.4f}"
    return f"{table['n']} questions; {pair}. Published: {table['published']}."


def _row(each: dict) -> str:
    def share(target: str) -> str:
        low, high = each[f"{target}_95"]
        value = each[target]
        return "never" if value is None else f"{value:.1%} [{low:.1%}, {high:.1%}]"

    low, high = each["apgr_95"]
    area = f"{each['apgr']:.3f} [{low:.3f}, {high:.3f}]"
    return f"| {each['name']} | {area} | {share('cpt50')} | {share('cpt80')} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--encoders", default="static,blend")
    given = options.parse_args()
    encoders = [Vectors(name) for name in given.encoders.split(",")]
    found = {
        "command": f"python -m benchmarks.routing.transfer --encoders {given.encoders}",
        "protocol": "transfer",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": facts({"numpy": np.__version__}),
        "tables": [report(name, encoders) for name in ("mt_bench", "gsm8k", "mmlu")],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "transfer.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "transfer.md").write_text(markdown(found))


if __name__ == "__main__":
    main()
