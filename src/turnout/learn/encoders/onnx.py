"""A network stored in 8 bits, rewritten so that it also computes in 8 bits. Floor 2.

Theory of operation.

1. The file of a network (ONNX) is a protocol buffer: pairs of a number and a value, nested. Here it is read
   and written with few lines, because the one thing to do is to replace some nodes of the graph; everything
   else is copied as it stands.
2. Weights lie in the file as 8-bit integers. The graph turns them into floats (Cast, Mul by a scale), and the
   runtime then multiplies floats: four times the bytes and, on processors with 8-bit products, two to three
   times the time. `integer` replaces each such product, with the bias added to its result, by the runtime's
   own product of 8-bit integers, which finds the scale of the other factor as it runs.
3. Two more chains become one node: the five of the Gaussian error unit, and the guard against rows of
   attention in which nothing is attended to, which cannot be: each has its first token.
4. What does not have this form is left alone, so that a graph of another make still means what it meant.

Source: the ONNX format, onnx/onnx: onnx/onnx.proto (ModelProto 7 graph, 8 opset_import; GraphProto 1 node,
5 initializer; NodeProto 1 input, 2 output, 3 name, 4 op_type, 5 attribute, 7 domain; TensorProto 8 name), and
the runtime's operators, microsoft/onnxruntime: docs/ContribOperators.md, seen 2026-11-22.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

Field: TypeAlias = tuple[int, int, int | bytes]
"""Number, wire type, value."""

_VARINT: Final = 0
_LONG: Final = 1
_BYTES: Final = 2
_SHORT: Final = 5
_GRAPH: Final = 7
_OPSETS: Final = 8
_NODE: Final = 1
_INITIALIZER: Final = 5
_TENSOR_NAME: Final = 8
_RUNTIMES_OWN: Final = "com.microsoft"


class Node(NamedTuple):
    """One operation."""

    op: str
    inputs: tuple[str, ...]
    output: str


def integer(model: bytes) -> bytes:
    """Return a network that computes in 8 bits wherever its weights lie in 8 bits.

    Raises:
        ValueError: It is no network, or nothing in it is stored in 8 bits.
    """
    outer = list(_fields(model))
    graph = next((value for number, _, value in outer if number == _GRAPH), b"")
    inner = list(_fields(graph if isinstance(graph, bytes) else b""))
    nodes = [_node(value) for number, _, value in inner if number == _NODE and isinstance(value, bytes)]
    constants = {_name(value) for number, _, value in inner if number == _INITIALIZER}
    instead = _replaced(nodes, constants)
    if not any(node is not None and node.op == "DynamicQuantizeMatMul" for node in instead.values()):
        raise ValueError("no product in this network has weights of 8 bits")
    found = bytearray()
    for number, kind, value in inner:
        output = _node(value).output if number == _NODE and isinstance(value, bytes) else ""
        if output not in instead:
            found += _written(number, kind, value)
        elif (node := instead[output]) is not None:
            found += _written(_NODE, _BYTES, _encoded(node))
    rest = b"".join(
        _written(number, kind, bytes(found) if number == _GRAPH else value) for number, kind, value in outer
    )
    own = _written(1, _BYTES, _RUNTIMES_OWN.encode()) + _written(2, _VARINT, 1)
    return rest + _written(_OPSETS, _BYTES, own)


def _replaced(nodes: Sequence[Node], constants: set[str]) -> Mapping[str, Node | None]:
    """Return for the output of each node that goes what stands in its place; None: nothing does."""
    made = {node.output: node for node in nodes}
    users: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    found: dict[str, Node | None] = {}
    for node in nodes:
        if node.op == "MatMul":
            found |= _product(node, made, users, constants)
        elif node.op == "Erf":
            found |= _error_unit(node, made, users)
        elif node.op == "IsNaN":
            found |= _unguarded(node, users)
    return found


def _product(
    node: Node, made: Mapping[str, Node], users: Mapping[str, Sequence[Node]], constants: set[str]
) -> Mapping[str, Node | None]:
    """Return the product in 8 bits, its bias taken in, where it is a product with weights in 8 bits."""
    scaled = made.get(node.inputs[1])
    cast = made.get(scaled.inputs[0]) if scaled is not None and scaled.op == "Mul" else None
    if scaled is None or cast is None or cast.op != "Cast":
        return {}
    weights, scale = cast.inputs[0], scaled.inputs[1]
    if weights not in constants or scale not in constants or len(users[scaled.output]) > 1:
        return {}
    gone: dict[str, Node | None] = {scaled.output: None, cast.output: None}
    after = users.get(node.output, ())
    bias = [name for name in after[0].inputs if name in constants] if len(after) == 1 else []
    if len(bias) == 1 and after[0].op == "Add":
        fused = Node("DynamicQuantizeMatMul", (node.inputs[0], weights, scale, "", bias[0]), after[0].output)
        return {**gone, node.output: None, after[0].output: fused}
    return {**gone, node.output: Node("DynamicQuantizeMatMul", (node.inputs[0], weights, scale), node.output)}


def _error_unit(
    erf: Node, made: Mapping[str, Node], users: Mapping[str, Sequence[Node]]
) -> Mapping[str, Node | None]:
    """Return x Φ(x) as one node, where it is written as x (½ (1 + erf(x / √2)))."""
    chain = [erf]
    for op in ("Add", "Mul", "Mul"):
        after = users.get(chain[-1].output, ())
        if len(after) != 1 or after[0].op != op:
            return {}
        chain.append(after[0])
    divided = made.get(erf.inputs[0])
    if divided is None or divided.op != "Div" or divided.inputs[0] not in chain[-1].inputs:
        return {}
    gone: dict[str, Node | None] = {node.output: None for node in (divided, *chain)}
    return {**gone, chain[-1].output: Node("Gelu", (divided.inputs[0],), chain[-1].output)}


def _unguarded(guard: Node, users: Mapping[str, Sequence[Node]]) -> Mapping[str, Node | None]:
    """Return the guarded values as they are, where a guard replaces what is not a number."""
    after = users.get(guard.output, ())
    if len(after) != 1 or after[0].op != "Where" or after[0].inputs[2] != guard.inputs[0]:
        return {}
    return {guard.output: None, after[0].output: Node("Identity", (guard.inputs[0],), after[0].output)}


def _node(data: bytes) -> Node:
    texts = [(number, value) for number, _, value in _fields(data) if isinstance(value, bytes)]
    outputs = [value.decode() for number, value in texts if number == 2]
    # One with several outputs is never replaced: its first name stands for it.
    return Node(
        op=next((value.decode() for number, value in texts if number == 4), ""),
        inputs=tuple(value.decode() for number, value in texts if number == 1),
        output=outputs[0] if outputs else "",
    )


def _name(tensor: int | bytes) -> str:
    fields = _fields(tensor) if isinstance(tensor, bytes) else iter(())
    return next(
        (value.decode() for n, _, value in fields if n == _TENSOR_NAME and isinstance(value, bytes)), ""
    )


def _encoded(node: Node) -> bytes:
    texts = [*((1, name) for name in node.inputs), (2, node.output), (3, node.output), (4, node.op)]
    if node.op != "Identity":
        texts.append((7, _RUNTIMES_OWN))
    return b"".join(_written(number, _BYTES, text.encode()) for number, text in texts)


def _fields(data: bytes) -> Iterator[Field]:
    """Read a message. Raises `ValueError` where it breaks off."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        else:
            size = {_LONG: 8, _SHORT: 4}.get(kind, len(data))
        if at + size > len(data):
            raise ValueError("the network's file breaks off")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7
    raise ValueError("the network's file breaks off")


def _written(number: int, kind: int, value: int | bytes) -> bytes:
    key = _number(number << 3 | kind)
    if isinstance(value, int):
        return key + _number(value)
    return key + (_number(len(value)) if kind == _BYTES else b"") + value


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
