"""The reading half of the codec, on bytes that student code may have written: see codec.py."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.errors import WireError
from autograder.sandbox.messages import Callback
from autograder.sandbox.plain import (
    DTYPES,
    F64,
    ITEM_SIZES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_DIMENSIONS,
    MAX_ENTRIES,
    MAX_EXTENT,
    MAX_INT_BYTES,
    MAX_ITEMS,
    MAX_KEY_BYTES,
    MAX_STORAGE,
    NUMPY_DTYPES,
    U32,
    count,
    extent,
    lies_apart,
    row_major,
)


def decode(data: bytes | memoryview, callbacks: Callable[[Callback], Any] | None = None) -> Any:
    """The value of `data`, made of exact built-in, ndarray and Tensor objects only; raises WireError for anything else.

    `callbacks` turns each Callback that arrives into what stands in for it; without, it stays a Callback (inert data).
    """
    decoder = _Decoder(memoryview(data), callbacks)
    value = decoder.take_value(0)
    if decoder.left():
        raise WireError(f"{decoder.left()} bytes follow the value")
    return value


class _Decoder:
    """Walks over one message. Nothing is built before its size was compared with what is left and with the caps."""

    def __init__(self, data: memoryview, callbacks: Callable[[Callback], Any] | None) -> None:
        if data.nbytes > MAX_BYTES + 2**16:
            raise WireError(f"a message of {data.nbytes} bytes")
        self.data = data
        self.position = 0
        self.items = 0
        self.storage = 0
        self.callbacks = callbacks

    def left(self) -> int:
        return len(self.data) - self.position

    def take(self, size: int) -> memoryview:
        if size > self.left():
            raise WireError(f"{size} bytes announced, {self.left()} are there")
        self.position += size
        return self.data[self.position - size : self.position]

    def take_size(self, cap: int) -> int:
        size: int = U32.unpack(self.take(4))[0]
        if size > cap:
            raise WireError(f"a size of {size} where {cap} is the most")
        return size

    def take_value(self, depth: int) -> Any:
        self.items += 1
        if self.items > MAX_ITEMS:
            raise WireError(f"more than {MAX_ITEMS} items")
        if depth > MAX_DEPTH:
            raise WireError(f"nested deeper than {MAX_DEPTH} levels")
        tag = bytes(self.take(1))
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        reader = _READERS.get(tag)
        if reader is None:
            raise WireError(f"unknown tag {tag!r}")
        return reader(self, depth)

    def take_float(self, _: int) -> float:
        number: float = F64.unpack(self.take(8))[0]
        return number

    def take_int(self, _: int) -> int:
        return int.from_bytes(self.take(self.take_size(MAX_INT_BYTES)), "little", signed=True)

    def take_text(self, _: int) -> str:
        try:
            return str(self.take(self.take_size(MAX_BYTES)), "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise WireError("text that is not UTF-8") from error

    def take_bytes(self, _: int) -> bytes:
        return bytes(self.take(self.take_size(MAX_BYTES)))

    def take_list(self, depth: int) -> list[Any]:
        length = self.take_size(min(MAX_ITEMS, max(self.left() - 4, 0)))  # an item takes at least one byte
        return [self.take_value(depth + 1) for _ in range(length)]

    def take_tuple(self, depth: int) -> tuple[Any, ...]:
        return tuple(self.take_list(depth))

    def take_dict(self, depth: int) -> dict[Any, Any]:
        length = self.take_size(min(MAX_ENTRIES, max(self.left() - 4, 0) // 2))
        result: dict[Any, Any] = {}
        for _ in range(length):
            key = self.take_value(depth + 1)
            if not _may_be_key(key):
                raise WireError("a dict key that is no short plain value")
            if key in result:
                raise WireError("a dict with two equal keys")
            result[key] = self.take_value(depth + 1)
        return result

    def take_callback(self, _: int) -> Any:
        try:
            callback = Callback(str(self.take(self.take_size(200)), "utf-8"))
        except UnicodeDecodeError as error:
            raise WireError("a callback's name that is not UTF-8") from error
        return callback if self.callbacks is None else self.callbacks(callback)

    def reserve(self, size: int) -> None:
        self.storage += size
        if self.storage > MAX_STORAGE:
            raise WireError(f"arrays of more than {MAX_STORAGE >> 20} MB")

    def take_extents(self, count: int) -> tuple[int, ...]:
        numbers = struct.unpack(f"<{count}q", self.take(8 * count))
        if any(not 0 <= number <= MAX_EXTENT for number in numbers):
            raise WireError("a shape or stride out of range")
        return numbers

    def take_array(self, _: int) -> np.ndarray[Any, Any]:
        code, ndim = self.take(2)
        dtype = NUMPY_DTYPES.get(code)
        if dtype is None or ndim > MAX_DIMENSIONS:
            raise WireError("an array of unknown dtype or of too many dimensions")
        shape = self.take_extents(ndim)
        size = count(shape) * dtype.itemsize
        self.reserve(size)
        raw = bytearray(self.take(size))
        if code == 0 and raw.translate(None, b"\0\1"):
            raise WireError("a bool that is neither 0 nor 1")
        try:
            return np.frombuffer(raw, dtype=dtype).reshape(shape)
        except ValueError as error:  # e.g. (0, 2**40, 2**40): empty, and yet too large for numpy
            raise WireError("an array of impossible shape") from error

    def take_tensor(self, _: int) -> Any:
        code, grad, ndim = self.take(3)
        if code >= len(DTYPES) or grad > 1 or ndim > MAX_DIMENSIONS:
            raise WireError("a tensor of unknown dtype, flags or too many dimensions")
        shape, strides = self.take_extents(ndim), self.take_extents(ndim)
        if not lies_apart(shape, strides):
            raise WireError("a tensor whose elements overlap")
        if count(shape) == 0 and strides != row_major(shape):
            raise WireError("an empty tensor with strides")
        item = ITEM_SIZES[code]
        self.reserve(count(shape) * item)
        span = extent(shape, strides)
        self.reserve(span * item)
        sent = tuple(1 if stride == 0 else length for length, stride in zip(shape, strides, strict=True))
        raw = bytearray(self.take(count(sent) * item if span else 0))
        if code == 0 and raw.translate(None, b"\0\1"):
            raise WireError("a bool that is neither 0 nor 1")
        if grad and DTYPES[code] not in ("float16", "bfloat16", "float32", "float64"):
            raise WireError("a gradient for whole numbers")
        return _build_tensor(raw, DTYPES[code], bool(grad), shape, strides, sent, span)


def _may_be_key(key: Any) -> bool:
    """Short and plain: long integers are the one kind whose hashes a hostile message could make collide at will."""
    kind = type(key)
    if kind is str:
        return len(key) <= MAX_KEY_BYTES
    return kind in (float, bool, type(None)) or (kind is int and key.bit_length() < 64)


def _build_tensor(
    raw: bytearray,
    dtype_name: str,
    grad: bool,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    sent: tuple[int, ...],
    span: int,
) -> Any:
    """A leaf tensor over its own storage of `span` elements; gaps between its elements are zeros."""
    try:
        import torch
    except ImportError as error:
        raise WireError("a tensor arrived where torch is not installed") from error
    dtype = getattr(torch, dtype_name)  # a name from our own table
    try:
        with torch.no_grad():
            base = torch.zeros(span, dtype=dtype, device="cpu")
            if raw:
                torch.as_strided(base, sent, strides).copy_(torch.frombuffer(raw, dtype=dtype).reshape(sent))
            tensor = torch.empty(0, dtype=dtype, device="cpu").set_(base.untyped_storage(), 0, shape, strides)
    except (RuntimeError, ValueError, OverflowError) as error:
        raise WireError("a tensor of impossible shape") from error
    return tensor.requires_grad_() if grad else tensor


_CONSTANTS: dict[bytes, Any] = {b"N": None, b"T": True, b"F": False}
_READERS: dict[bytes, Callable[[_Decoder, int], Any]] = {
    b"i": _Decoder.take_int,
    b"f": _Decoder.take_float,
    b"s": _Decoder.take_text,
    b"b": _Decoder.take_bytes,
    b"l": _Decoder.take_list,
    b"t": _Decoder.take_tuple,
    b"m": _Decoder.take_dict,
    b"a": _Decoder.take_array,
    b"x": _Decoder.take_tensor,
    b"c": _Decoder.take_callback,
}
