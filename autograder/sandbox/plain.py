"""What counts as plain data: caps, dtypes and the arithmetic of strides, shared by both halves of the codec."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.errors import WireError

MAX_BYTES = 64 * 2**20
"""Of one message."""
MAX_STORAGE = 256 * 2**20
"""Of all arrays and tensors of one message once they are built, whatever few bytes describe them."""
MAX_DEPTH = 64
MAX_ITEMS = 200_000
MAX_ENTRIES = 100_000
"""Of one dict; with the cap on the size of integer keys this bounds what colliding hashes can cost."""
MAX_INT_BYTES = 512
MAX_KEY_BYTES = 2**16
MAX_DIMENSIONS = 64
MAX_EXTENT = 2**40
"""Of one dimension or stride; keeps every product small enough to compute."""

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
NUMPY_ONLY = ("uint16", "uint32", "uint64")
ITEM_SIZES = (1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 2, 4, 8)
ALL_DTYPES = DTYPES + NUMPY_ONLY
NUMPY_CODES = {np.dtype(name): code for code, name in enumerate(ALL_DTYPES) if name != "bfloat16"}
NUMPY_DTYPES = {code: dtype for dtype, code in NUMPY_CODES.items()}

U32 = struct.Struct("<I")
F64 = struct.Struct("<d")
_TYPE_NAME = type.__dict__["__name__"]


class Unencodable(WireError):
    """A value that is no data: `path` says where in the value ("[0]['model']"), `type_name` what was found there."""

    def __init__(self, path: str, type_name: str) -> None:
        self.path = path
        self.type_name = type_name
        super().__init__(f"{path}: {type_name}" if path else type_name)

    def inside(self, step: str) -> Unencodable:
        """The same, seen from one container further out. A very deep path is cut: its beginning says enough."""
        path = step + self.path
        return Unencodable(path if len(path) < 200 else path[:200] + "...", self.type_name)


class CallbackFunction:
    """Stands in the arguments for a Callback: calling it asks the grader. Sent back, it is a Callback again."""

    def __init__(self, name: str, send: Callable[[str, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self.name = name
        self._send = send

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._send(self.name, args, kwargs)

    def __repr__(self) -> str:
        return f"<{self.name}, answered by the grader>"


def type_name(value: Any) -> str:
    """The class's own name with an article, read past any metaclass: "a Module"."""
    name = str(_TYPE_NAME.__get__(type(value)))[:80]
    return ("an " if name[:1].lower() in "aeiou" else "a ") + name


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def lies_apart(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether no two elements share memory, expanded dimensions aside. Sufficient, and true of every usual view."""
    reach = 0
    for stride, length in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n > 1 and s != 0):
        if stride <= reach:
            return False
        reach += stride * (length - 1)
    return True


def extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements of storage a tensor with these strides spans."""
    if 0 in shape:
        return 0
    return 1 + sum(stride * (length - 1) for length, stride in zip(shape, strides, strict=True))


def count(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
