"""What the codec carries, what it refuses, and that no bytes make the reader do anything but refuse them."""

from __future__ import annotations

import collections
import enum
import math
import random
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest

from autograder.errors import WireError
from autograder.sandbox import plain
from autograder.sandbox.codec import Unencodable, decode, encode
from autograder.sandbox.messages import Callback


def round_trip(value: Any) -> Any:
    return decode(encode(value))


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return bool(left == right)


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    2**2000,
    0.1,
    -0.0,
    5e-324,
    math.inf,
    math.nan,
    "",
    "naïve \N{SNOWMAN}",
    "a lone \ud800 surrogate",
    b"",
    bytes(range(256)),
    [],
    (),
    {},
    [1, [2.0, ("three", None)], {"four": b"4"}],
    {"a": 1, 2: "b", 2.5: None, None: [], False: ()},
    {"$type": "tensor", "tag": "x"},
    Callback("step"),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:30])
def test_plain_values_come_back_exactly(value: Any) -> None:
    assert same(round_trip(value), value)


@pytest.mark.parametrize("name", plain.NUMPY_CODES)
def test_arrays_of_every_dtype_come_back_exactly(name: np.dtype[Any]) -> None:
    array = (np.arange(24) % 2).astype(name).reshape(2, 3, 4)
    assert same(round_trip(array), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(10)[::-2],
        np.array(3.5),
        np.zeros((0, 3)),
        np.broadcast_to(1.5, (3, 4)),
        np.array([math.nan, -0.0]),
    ],
    ids=["transposed", "reversed", "0-d", "empty", "broadcast", "nan"],
)
def test_array_layouts_come_back_with_the_same_values(array: np.ndarray[Any, Any]) -> None:
    back = round_trip(array)
    assert back.shape == array.shape
    assert same(back, np.array(array))
    assert back.flags.writeable


def test_a_foreign_byte_order_becomes_our_own() -> None:
    assert same(round_trip(np.array([1, 2], dtype=">i4")), np.array([1, 2], dtype=np.int32))


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [(np.float64(0.1), 0.1), (np.float32(0.5), 0.5), (np.int8(-3), -3), (np.bool_(True), True), (np.str_("x"), "x")],
)
def test_numpy_scalars_become_pythons_own(scalar: Any, expected: Any) -> None:
    assert same(round_trip(scalar), expected)


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


def subclass_of(base: type) -> type:
    """A subclass whose every hook would give it away, or give the wrong answer."""

    def hook(*_: Any, **__: Any) -> Any:
        raise AssertionError("a hook of the value was called")

    names = ["__eq__", "__ne__", "__iter__", "__len__", "__getitem__", "__float__", "__int__", "__str__", "__bool__"]
    names += ["__index__", "__contains__", "__repr__", "__reduce_ex__", "keys", "items", "encode", "bit_length", "get"]
    return type(f"Odd{base.__name__}", (base,), dict.fromkeys(names, hook) | {"__hash__": base.__hash__})


@pytest.mark.parametrize("value", [1.5, 7, "text", b"raw", [1, 2], (1, 2), {"a": 1}], ids=lambda v: type(v).__name__)
def test_a_subclass_is_carried_as_its_base_and_none_of_its_hooks_is_called(value: Any) -> None:
    odd = subclass_of(type(value))(value)
    assert same(decode(encode(odd)), value)
    assert same(decode(encode([odd]))[0], value)


def test_an_object_that_equals_everything_arrives_as_the_number_that_it_is() -> None:
    class Always(float):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = float.__hash__

    assert round_trip(Always(3.0)) != 4.0


def test_other_relatives_of_built_in_types_become_built_in() -> None:
    assert same(round_trip(Point(1, 2)), (1, 2))
    assert same(round_trip(Colour.RED), 1)
    assert same(round_trip(collections.OrderedDict(a=1)), {"a": 1})
    assert same(round_trip(np.ma.array([1.0, 2.0])), np.array([1.0, 2.0]))
    assert same(round_trip({np.str_("k"): 1, np.int64(2): 3}), {"k": 1, 2: 3})


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        (object(), "value", "an object"),
        ([1, {"model": [len]}], "value[1]['model'][0]", "a builtin_function_or_method"),
        ({(1, 2): 3}, "value", "a dict with a tuple as a key"),
        (1 + 2j, "value", "a complex"),
        ({1, 2}, "value", "a set"),
        ((i for i in ()), "value", "a generator"),
        (np.array([1, "a"], dtype=object), "value", "an array of dtype object"),
        (np.array([1j]), "value", "an array of dtype complex128"),
        (np.array(["a"]), "value", "an array of dtype <U1"),
        (np.longdouble(1), "value", "a longdouble"),
        (2**5000, "value", "an int of 5001 bits"),
        (np.broadcast_to(0.0, (10**6, 10**6)), "value", "an array of shape (1000000, 1000000): more than 256 MB"),
        ([0] * (plain.MAX_ITEMS + 1), "value", f"a list of {plain.MAX_ITEMS + 1} items"),
        ("x" * (plain.MAX_BYTES + 1), "value", f"a str of {plain.MAX_BYTES + 1} characters"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_what_is_no_data_is_refused_with_its_place(value: Any, path: str, found: str) -> None:
    with pytest.raises(Unencodable) as caught:
        encode(value)
    assert caught.value.path == path
    assert caught.value.type_name == found


def test_a_structure_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(Unencodable, match="nested deeper than 64 levels"):
        encode(ring)
    knot: dict[str, Any] = {}
    knot["self"] = (knot,)
    with pytest.raises(Unencodable, match="nested deeper"):
        encode(knot)


def test_two_keys_that_become_equal_are_refused() -> None:
    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        def __hash__(self) -> int:
            return id(self)

    with pytest.raises(Unencodable, match="two keys are equal"):
        encode({Key("a"): 1, Key("a"): 2})


def test_a_callback_becomes_what_stands_in_for_it() -> None:
    assert decode(encode([Callback("env")]), lambda callback: callback.name.upper()) == ["ENV"]


U32 = struct.Struct("<I").pack

HOSTILE = {
    "nothing": b"",
    "unknown tag": b"?",
    "cut float": b"f1234",
    "list longer than the message": b"l" + U32(0xFFFFFFFF),
    "dict longer than the message": b"m" + U32(1000),
    "text longer than the message": b"s" + U32(50) + b"short",
    "text that is no UTF-8": b"s" + U32(1) + b"\xff",
    "huge int": b"i" + U32(2**31) + b"1",
    "trailing bytes": b"NN",
    "too deep": (b"l" + U32(1)) * 100 + b"N",
    "much too deep": (b"t" + U32(1)) * 100_000 + b"N",
    "unhashable key": b"m" + U32(1) + b"l" + U32(0) + b"N",
    "long int as a key": b"m" + U32(1) + b"i" + U32(9) + b"\1" * 9 + b"N",
    "equal keys": b"m" + U32(2) + b"TNTN",
    "equal keys of two types": b"m" + U32(2) + b"TN" + b"f" + struct.pack("<d", 1.0) + b"N",
    "unknown dtype": b"a" + bytes([99, 0]),
    "array larger than the message": b"a" + bytes([9, 2]) + struct.pack("<qq", 2**20, 2**20),
    "array of negative length": b"a" + bytes([9, 1]) + struct.pack("<q", -1),
    "array of a product that wraps": b"a" + bytes([9, 4]) + struct.pack("<qqqq", *[2**32] * 4),
    "empty array of impossible shape": b"a" + bytes([9, 3]) + struct.pack("<qqq", 0, 2**40, 2**40),
    "array of too many dimensions": b"a" + bytes([9, 200]) + bytes(1600),
    "bool of 2": b"a" + bytes([0, 1]) + struct.pack("<q", 1) + b"\2",
    "callback with a long name": b"c" + U32(10_000) + b"x" * 10_000,
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_million_short_lists_are_too_many_items() -> None:
    with pytest.raises(WireError, match="items"):
        decode(b"l" + U32(1001) + (b"l" + U32(1000) + b"N" * 1000) * 1001)


def mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        kind, at = rng.randrange(5), rng.randrange(len(changed) + 1)
        if kind == 0:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del changed[at : at + rng.randint(1, 9)]
        elif kind == 2:
            changed[at:at] = rng.choice([b"l", b"m", b"x", b"a", b"s", b"i", U32(rng.choice([0, 1, 2**31, 2**32 - 1]))])
        elif kind == 3:
            changed[at:at] = changed[: rng.randint(1, 20)]
        else:
            changed[at : at + 8] = struct.pack("<q", rng.choice([0, 1, -1, 2**31, 2**40, 2**62]))
    return bytes(changed)


def fuzz(samples: list[Any], rounds: int) -> int:
    """Decodes mutated messages; anything but a value or a WireError is a failure of the test. How many were refused."""
    rng = random.Random(20170612)
    encoded = [encode(sample) for sample in samples]
    refused = 0
    for _ in range(rounds):
        try:
            decode(mutated(rng.choice(encoded), rng))
        except WireError:
            refused += 1
    return refused


def test_mutated_messages_are_refused_or_are_other_data() -> None:
    samples = [[1, "two", 3.0, None, (True, b"x")], {"a": np.arange(6).reshape(2, 3), "b": [{}, ()]}, Callback("env")]
    assert fuzz(samples, 6000) > 3000


# ------------------------------------------------------------------------------------------------------------ torch


@pytest.fixture
def torch() -> Any:
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


@pytest.mark.course
@pytest.mark.parametrize("name", plain.DTYPES)
def test_tensors_of_every_dtype_come_back_exactly(torch: Any, name: str) -> None:
    tensor = (torch.arange(12) % 2).to(getattr(torch, name)).reshape(3, 4)
    back = round_trip(tensor)
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor)


@pytest.mark.course
def test_tensors_keep_shape_strides_and_requires_grad(torch: Any) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    views = [
        base,
        base.transpose(0, 2),
        base[:, ::2],
        base[0, 0, 0],
        base.new_zeros(0, 3),
        torch.ones(3, 1).expand(3, 1000),
        torch.ones(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        torch.tensor([float("nan"), -0.0]),
        torch.ones(2, requires_grad=True),
        torch.ones(2, requires_grad=True) * 2,
    ]
    for view in views:
        back = round_trip(view)
        assert (back.shape, back.stride(), back.requires_grad) == (view.shape, view.stride(), view.requires_grad)
        assert back.is_leaf
        assert torch.equal(back.nan_to_num(7.0), view.nan_to_num(7.0))


@pytest.mark.course
def test_an_expanded_tensor_is_sent_as_its_one_row(torch: Any) -> None:
    assert len(encode(torch.ones(3, 1).expand(3, 1_000_000))) < 100


@pytest.mark.course
def test_a_thin_view_does_not_carry_what_lies_between_its_elements(torch: Any) -> None:
    hidden = torch.full((1000,), 42.0)
    hidden[::100] = 1.0
    back = round_trip(hidden[::100])
    assert back.stride() == (100,)
    assert not (torch.empty(0).set_(back.untyped_storage(), 0, (901,)) == 42.0).any()


@pytest.mark.course
def test_overlapping_strides_become_contiguous(torch: Any) -> None:
    windows = torch.arange(10.0).unfold(0, 3, 1)
    back = round_trip(windows)
    assert torch.equal(back, windows)
    assert back.is_contiguous()


@pytest.mark.course
def test_relatives_of_tensors_become_plain_tensors_without_their_hooks(torch: Any) -> None:
    class Odd(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *_: Any, **__: Any) -> Any:
            raise AssertionError("a hook of the value was called")

        @property
        def shape(self) -> Any:
            raise AssertionError("a property of the value was read")

    for value in (torch.ones(3).as_subclass(Odd), torch.nn.Parameter(torch.ones(3))):
        back = round_trip(value)
        assert type(back) is torch.Tensor
        assert torch.equal(back, torch.ones(3))


@pytest.mark.course
def test_tensors_that_are_no_plain_numbers_are_refused(torch: Any) -> None:
    for value, found in (
        (torch.ones(2).to_sparse(), "a sparse tensor"),
        (torch.ones(2) + 1j, "dtype complex64"),
        (torch.ones(2, device="meta"), "without values"),
        (torch.ones(1).expand(10**12), "more than 256 MB"),
        (torch.nn.Linear(2, 2), "a Linear"),
    ):
        with pytest.raises(Unencodable, match=found):
            encode(value)


def tensor_bytes(shape: list[int], strides: list[int], raw: bytes, flags: bytes = b"\x08\x00") -> bytes:
    return b"x" + flags + bytes([len(shape)]) + struct.pack(f"<{2 * len(shape)}q", *shape, *strides) + raw


@pytest.mark.course
@pytest.mark.parametrize(
    "data",
    [
        tensor_bytes([2], [2**39], b"\0" * 8),
        tensor_bytes([2**40, 2**40], [0, 0], b"\0" * 4),
        tensor_bytes([3, 3], [1, 1], b"\0" * 36),
        tensor_bytes([2], [-1], b"\0" * 8),
        tensor_bytes([2, 0], [5, 5], b""),
        tensor_bytes([1], [1], b"\0" * 8, b"\x05\x01"),
        tensor_bytes([1], [1], b"\0", b"\x63\x00"),
        tensor_bytes([1], [1], b"\7", b"\x00\x00"),
    ],
    ids=["far stride", "huge expansion", "overlap", "negative", "empty", "integer gradient", "dtype", "bool"],
)
def test_hostile_tensors_are_refused(torch: Any, data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.course
def test_many_small_tensors_with_far_strides_share_one_cap(torch: Any) -> None:
    one = tensor_bytes([2], [2**24], b"\0" * 8)
    assert decode(one).shape == (2,)
    with pytest.raises(WireError, match="256 MB"):
        decode(b"l" + U32(100) + one * 100)


@pytest.mark.course
def test_mutated_tensors_are_refused_or_are_other_data(torch: Any) -> None:
    samples = [torch.arange(6.0).reshape(2, 3).t(), torch.ones(2, 1).expand(2, 5), [torch.ones((), requires_grad=True)]]
    assert fuzz(samples, 3000) > 1500
