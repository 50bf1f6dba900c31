"""Networks stored in 8 bits compute in 8 bits; what has another form stays as it is."""

import numpy as np
import pytest

from turnout.catalog.weights import MINILM_WEIGHTS
from turnout.errors import ConfigError
from turnout.learn.encoders.minilm import load
from turnout.learn.encoders.onnx import integer


def size(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + size(n >> 7)


def part(number, content):
    data = content.encode() if isinstance(content, str) else content
    return size(number << 3 | 2) + size(len(data)) + data


def node(op, inputs, output):
    named = b"".join(part(1, name) for name in inputs.split())
    return part(1, named + part(2, output) + part(3, output) + part(4, op))


def model(*nodes, constants="w_q w_scale bias"):
    stored = b"".join(part(5, part(8, name)) for name in constants.split())
    return bytes([8, 10]) + part(7, b"".join(nodes) + stored + part(11, "x")) + part(8, size(0x10) + b"\x11")


STORED = (node("Cast", "w_q", "w_f"), node("Mul", "w_f w_scale", "w"))


def own(op, inputs, output):
    named = b"".join(part(1, name) for name in inputs)
    return part(1, named + part(2, output) + part(3, output) + part(4, op) + part(7, "com.microsoft"))


def expected(*nodes):
    return model(*nodes) + part(8, part(1, "com.microsoft") + bytes([16, 1]))


def test_a_product_with_weights_of_8_bits_takes_its_bias_in():
    made = integer(model(*STORED, node("MatMul", "x w", "y"), node("Add", "y bias", "z")))
    assert made == expected(own("DynamicQuantizeMatMul", ("x", "w_q", "w_scale", "", "bias"), "z"))


def test_the_error_unit_and_the_guard_become_one_node_each():
    unit = (node("Div", "y root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"))
    made = integer(
        model(
            *STORED,
            node("MatMul", "x w", "y"),
            *unit,
            node("Mul", "half c", "d"),
            node("Mul", "y d", "z"),
            node("IsNaN", "z", "n"),
            node("Where", "n zero z", "end"),
        )
    )
    kept = part(1, part(1, "z") + part(2, "end") + part(3, "end") + part(4, "Identity"))
    product = own("DynamicQuantizeMatMul", ("x", "w_q", "w_scale"), "y")
    assert made == expected(product, own("Gelu", ("y",), "z"), kept)


def test_what_is_no_such_network_is_said():
    with pytest.raises(ValueError, match="no product"):
        integer(model(node("MatMul", "x v", "y")))
    with pytest.raises(ValueError, match="breaks off"):
        integer(model(*STORED)[:-9])


def test_its_vectors_are_nearly_those_of_floats():
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra semantic")
    try:
        weights, encoder = MINILM_WEIGHTS.read(), load()
    except ConfigError as error:
        pytest.skip(str(error))
    floats = runtime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    for text in ("How do I bake bread without yeast?", "def f(x): return x ** 2\n" * 20):
        ids = np.array([encoder.tokenizer.encode(text).ids])
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = floats.run(None, given)[0][0].mean(axis=0)
        assert encoder.embed(text) @ mean / np.linalg.norm(mean) > 0.98
