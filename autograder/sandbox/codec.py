"""A compact binary codec for plain data: the only form in which values cross between the grader and student code.

Stops: code in data (there is a closed table of tags; nothing is unpickled, looked up by a received name or imported on
request), objects that only claim to be numbers (subclasses become the exact built-in type, by base-class methods, so no
overridden `__eq__`, `__iter__` or `__len__` is ever called), a dict that looks like a tag, and messages that make the
reader allocate, recurse or count without end (every size is checked before anything is built).
Does not stop: values that are wrong. Those are what the tests are for.

Data is None, bool, int, float, str, bytes, list, tuple, dict, numpy arrays and torch tensors. A tensor keeps its shape,
strides and requires_grad; torch itself is only touched where it is already imported, or when a tensor arrives.
"""

from __future__ import annotations

from autograder.sandbox.decoding import decode
from autograder.sandbox.encoding import encode
from autograder.sandbox.plain import CallbackFunction, Unencodable, type_name

__all__ = ["CallbackFunction", "Unencodable", "decode", "encode", "type_name"]
