"""A table of outcomes with known truths, small enough to reckon with."""

import csv
from random import Random

MODELS = ("cheap", "middle", "strong")
USD = {"cheap": 0.0001, "middle": 0.001, "strong": 0.01}
WORDS = {
    "sums": ("add", "the numbers", "twelve", "and", "thirty", "please"),
    "poems": ("write", "a verse", "about", "the sea", "in", "autumn"),
    "code": ("fix", "this function", "def", "return", "loop", "index"),
}
SOLVED = {
    "sums": {"cheap": 0.9, "middle": 0.9, "strong": 0.95},
    "poems": {"cheap": 0.3, "middle": 0.85, "strong": 0.9},
    "code": {"cheap": 0.1, "middle": 0.2, "strong": 0.9},
}
"""Chance that a model solves an item: a router that knows the domain saves much and loses little."""


def rows(n=600, seed=3, models=MODELS, *, response=False):
    random = Random(seed)
    for i in range(n):
        domain = random.choice(tuple(WORDS))
        prompt = f"{domain} {i}: " + " ".join(random.choices(WORDS[domain], k=12))
        split = "train" if random.random() < 0.6 else "dev"
        for model in models:
            score = float(random.random() < SOLVED[domain][model])
            yield {
                "prompt": prompt,
                "domain": domain,
                "dataset": "synthetic",
                "split": split,
                "model": model,
                "score": score,
                "cost_usd": USD[model] * random.uniform(0.9, 1.1),
                "latency_s": random.uniform(0.5, 1.5),
                **({"response": "Answer: 4" if score else "I do not know"} if response else {}),
            }


def write(path, found=None):
    found = list(rows() if found is None else found)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    return path
