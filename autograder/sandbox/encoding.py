"""The writing half of the codec. It runs beside student code and asks no object about itself: see codec.py."""

from __future__ import annotations

import struct
import sys
from types import ModuleType
from typing import Any

import numpy as np

from autograder.sandbox.messages import Callback
from autograder.sandbox.plain import (
    DTYPES,
    F64,
    ITEM_SIZES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ENTRIES,
    MAX_INT_BYTES,
    MAX_ITEMS,
    MAX_KEY_BYTES,
    MAX_STORAGE,
    NUMPY_CODES,
    U32,
    CallbackFunction,
    Unencodable,
    extent,
    lies_apart,
    row_major,
    type_name,
)


def encode(value: Any, name: str = "value") -> bytes:
    """The bytes of `value`; raises Unencodable, with a path that starts with `name`, where it is no data."""
    encoder = _Encoder()
    try:
        encoder.put(value, 0)
    except Unencodable as error:
        raise error.inside(name) from None
    return b"".join(encoder.parts)


class _Encoder:
    """Collects the parts of one message. Types are asked with issubclass(type(x), ...), never of the object."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.items = 0
        self.storage = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > MAX_BYTES:
            raise Unencodable("", f"more than {MAX_BYTES >> 20} MB")
        self.parts.append(part)

    def put(self, value: Any, depth: int) -> None:
        self.items += 1
        if self.items > MAX_ITEMS:
            raise Unencodable("", f"more than {MAX_ITEMS} items")
        kind = type(value)
        if value is None or kind is bool:
            self.add(b"N" if value is None else b"T" if value else b"F")
        elif issubclass(kind, float):
            self.add(b"f" + F64.pack(float.__float__(value)))
        elif issubclass(kind, int):
            self.put_int(int.__int__(value))
        elif issubclass(kind, str):
            self.put_text(str.__str__(value))
        elif issubclass(kind, bytes):
            raw = bytes.__getitem__(value, slice(None))
            self.add(b"b" + U32.pack(min(len(raw), MAX_BYTES)))
            self.add(raw)
        elif issubclass(kind, (list, tuple, dict)):
            self.put_container(value, kind, depth)
        else:
            self.put_other(value, kind, depth)

    def put_int(self, value: int) -> None:
        size = value.bit_length() // 8 + 1
        if size > MAX_INT_BYTES:
            raise Unencodable("", f"an int of {value.bit_length()} bits")
        self.add(b"i" + U32.pack(size) + value.to_bytes(size, "little", signed=True))

    def put_text(self, value: str) -> None:
        if len(value) > MAX_BYTES:
            raise Unencodable("", f"a str of {len(value)} characters")
        raw = value.encode("utf-8", "surrogatepass")
        self.add(b"s" + U32.pack(len(raw)) + raw)

    def put_container(self, value: Any, kind: type, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise Unencodable("", f"nested deeper than {MAX_DEPTH} levels")
        if issubclass(kind, dict):
            self.put_dict(value, depth)
            return
        base: Any = list if issubclass(kind, list) else tuple
        length = base.__len__(value)
        if length > MAX_ITEMS:
            raise Unencodable("", f"{type_name(value)} of {length} items")
        self.add((b"l" if base is list else b"t") + U32.pack(length))
        for index, item in zip(range(length), base.__iter__(value), strict=True):
            try:
                self.put(item, depth + 1)
            except Unencodable as error:
                raise error.inside(f"[{index}]") from None

    def put_dict(self, value: Any, depth: int) -> None:
        length = dict.__len__(value)
        if length > MAX_ENTRIES:
            raise Unencodable("", f"{type_name(value)} of {length} entries")
        self.add(b"m" + U32.pack(length))
        seen: set[Any] = set()
        for key, item in dict.items(value):
            plain = _plain_key(key)
            seen.add(plain)
            try:
                self.put(plain, depth + 1)
                self.put(item, depth + 1)
            except Unencodable as error:
                raise error.inside(f"[{plain!r:.40}]") from None
        if len(seen) != length:
            raise Unencodable("", f"{type_name(value)} in which two keys are equal")

    def put_other(self, value: Any, kind: type, depth: int) -> None:
        torch = sys.modules.get("torch")
        if issubclass(kind, np.ndarray):
            self.put_array(np.ndarray.view(value, np.ndarray))
        elif issubclass(kind, np.generic):
            plain = np.generic.item(value)
            if type(plain) not in (bool, int, float):
                raise Unencodable("", type_name(value))
            self.put(plain, depth)
        elif torch is not None and issubclass(kind, torch.Tensor):
            self.put_tensor(torch, value)
        elif kind is Callback or kind is CallbackFunction:
            name = value.name.encode()
            self.add(b"c" + U32.pack(len(name)) + name)
        else:
            raise Unencodable("", type_name(value))

    def reserve(self, size: int, what: str) -> None:
        self.storage += size
        if self.storage > MAX_STORAGE:
            raise Unencodable("", f"{what}: more than {MAX_STORAGE >> 20} MB")

    def put_array(self, array: np.ndarray[Any, Any]) -> None:
        dtype = array.dtype.newbyteorder("=")
        code = NUMPY_CODES.get(dtype)
        if code is None:
            raise Unencodable("", f"an array of dtype {array.dtype!s:.60}")
        shape = array.shape
        self.reserve(array.size * array.itemsize, f"an array of shape {shape}")
        raw = array.astype(dtype, copy=False).tobytes(order="C")
        self.add(b"a" + bytes((code, len(shape))) + struct.pack(f"<{len(shape)}q", *shape))
        self.add(raw)

    def put_tensor(self, torch: ModuleType, value: Any) -> None:
        name = type_name(value)
        try:
            with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
                if torch.Tensor.layout.__get__(value) is not torch.strided:
                    raise Unencodable("", "a sparse tensor")
                parts = self.tensor_parts(torch, torch.Tensor.as_subclass(value, torch.Tensor))
        except Unencodable:
            raise
        except Exception as error:  # an exotic tensor (fake, batched, freed): whatever it does, it is no data
            raise Unencodable("", f"{name} that holds no plain numbers") from error
        for part in parts:
            self.add(part)

    def tensor_parts(self, torch: ModuleType, tensor: Any) -> list[bytes]:
        code = _torch_code(torch, tensor)
        grad = bool(tensor.requires_grad)
        tensor = tensor.detach()
        tensor = (tensor if tensor.device.type == "cpu" else tensor.cpu()).resolve_neg()
        shape, item = tuple(tensor.shape), ITEM_SIZES[code]
        self.reserve(tensor.numel() * item, f"a tensor of shape {shape}")
        strides = tuple(tensor.stride())
        if tensor.numel() == 0 or not lies_apart(shape, strides) or extent(shape, strides) * item > MAX_BYTES:
            tensor = tensor.contiguous()
            strides = row_major(shape)
        self.reserve(extent(shape, strides) * item, f"a tensor of shape {shape}")
        for dim, (length, stride) in enumerate(zip(shape, strides, strict=True)):
            if length > 1 and stride == 0:
                tensor = tensor.narrow(dim, 0, 1)  # an expanded dimension: its one row is sent once
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        head = b"x" + bytes((code, grad, len(shape)))
        return [head + struct.pack(f"<{2 * len(shape)}q", *shape, *strides), raw]


def _plain_key(key: Any) -> Any:
    kind = type(key)
    if key is None or kind is bool:
        return key
    if issubclass(kind, str):
        plain = str.__str__(key)
        if len(plain) * 4 <= MAX_KEY_BYTES:
            return plain
    elif issubclass(kind, float):
        return float.__float__(key)
    elif issubclass(kind, int):
        number = int.__int__(key)
        if number.bit_length() < 64:
            return number
    elif issubclass(kind, (np.integer, np.floating, np.bool_)):
        number = np.generic.item(key)
        if type(number) in (bool, int, float):
            return _plain_key(number)
    raise Unencodable("", f"a dict with {type_name(key)} as a key")


def _torch_code(torch: ModuleType, tensor: Any) -> int:
    if tensor.device.type == "meta":
        raise Unencodable("", "a tensor without values (device meta)")
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise Unencodable("", f"a tensor of dtype {name}")
    return DTYPES.index(name)
