"""Prompts as numbers: read off the senses of a live request; tables as matrices."""

import msgspec
import numpy as np
import pytest

from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.queries import Item, grid, labels, queries
from turnout.learn.features import HashEmbedder
from turnout.learn.measures import MEASURES

ROWS = [
    {"prompt": "What is 2 + 2?", "model": "large", "score": 1.0, "split": "train", "domain": "sums"},
    {"prompt": "What is 2 + 2?", "model": "small", "score": 0.5, "split": "train", "domain": "sums"},
    {"prompt": "What is 2 + 2?", "model": "small", "score": 1.0, "split": "train", "sample_id": 1},
    {"prompt": "Prove it.", "model": "large", "score": 0.0, "split": "dev"},
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, ROWS)))
    return load_outcomes(path)


def test_prompts_become_the_numbers_of_their_live_signals():
    found = queries(["Hello  there\u200b", "```x = 1```", ""], HashEmbedder())
    assert found.n == 3
    assert found.embeddings[0] == pytest.approx(HashEmbedder().embed("Hello there"), abs=1e-7)
    assert not found.embeddings[2].any()
    column = dict(zip(MEASURES, found.measures.T, strict=True))
    assert column["log_words"] == pytest.approx(np.log1p([2, 2, 0]))
    assert column["has.code"].tolist() == [0, 1, 0]


def test_a_long_prompt_is_the_mean_of_its_windows():
    long = " ".join(["alpha"] * 128 + ["beta"] * 128)
    (row,) = queries([long], HashEmbedder()).embeddings
    parts = HashEmbedder().embed_all([" ".join(["alpha"] * 128), " ".join(["beta"] * 128)]).mean(axis=0)
    assert row == pytest.approx(parts / np.linalg.norm(parts), abs=1e-7)


def test_a_table_becomes_a_matrix(table):
    found = grid(table)
    assert found.models == ("large", "small")
    assert found.items[0] == Item(
        "What is 2 + 2?", found.items[0].prompt_id, "", "sums", found.items[0].prompt_id
    )
    np.testing.assert_array_equal(found.scores, [[1.0, 0.75], [0.0, np.nan]])
    np.testing.assert_array_equal(grid(table, ["dev"]).scores, [[0.0, np.nan]])
    np.testing.assert_array_equal(labels(table, HashEmbedder(), ["dev"]).scores, [[0.0, np.nan]])
