"""Answers that know nothing: zeros, ones, the input, None, and a refusal of everything. None may earn a point.

Each is made from the reference, so that shapes and kinds are right and only the content is void.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Fill = Callable[[Any, tuple[Any, ...]], Any]
"""(the right result, the arguments) -> the void one."""


@dataclass(frozen=True)
class Trivial:
    """One kind of empty answer."""

    id: str
    fill: Fill


def _filled(number: float) -> Fill:
    def fill(result: Any, args: tuple[Any, ...]) -> Any:
        if isinstance(result, list | tuple):
            return type(result)(fill(item, args) for item in result)
        if isinstance(result, dict):
            return {key: fill(item, args) for key, item in result.items()}
        if isinstance(result, str):
            return str(number) if number else ""
        if isinstance(result, bool | int | float):
            return type(result)(number)
        if isinstance(result, np.ndarray):
            return np.full_like(result, number)
        if hasattr(result, "load_state_dict"):  # a trained model: one that learnt nothing
            model = copy.deepcopy(result)
            model.load_state_dict(fill(dict(model.state_dict()), args))
            return model
        if inspect.isfunction(result):  # one that gives nothing
            return lambda *given: fill(result(*given), given)
        return result.new_full(result.shape, number) if hasattr(result, "new_full") else result

    return fill


def _refuse(result: Any, args: tuple[Any, ...]) -> Any:
    raise ValueError("everything is refused")


TRIVIAL: tuple[Trivial, ...] = (
    Trivial("zeros", _filled(0)),
    Trivial("ones", _filled(1)),
    Trivial("input", lambda result, args: args[0] if args else None),
    Trivial("None", lambda result, args: None),
    Trivial("refusal", _refuse),
)


def with_trivial(load: Callable[[], ModuleType], task: str, trivial: Trivial) -> Callable[[], ModuleType]:
    """Makes copies of a module in which `task` answers trivially: a function, or every method of a class."""

    def load_void() -> ModuleType:
        module = load()
        original = getattr(module, task)
        void = _void_class(original, trivial) if inspect.isclass(original) else _void_function(original, trivial)
        setattr(module, task, void)
        return module

    return load_void


def _void_function(function: Callable[..., Any], trivial: Trivial, skip: int = 0) -> Callable[..., Any]:
    """`function` with its result emptied; where even the reference refuses, its first argument is emptied instead.

    It works on copies, so that a function that does its work in place has done none.
    """

    @functools.wraps(function)
    def void(*args: Any, **kwargs: Any) -> Any:
        given = args[skip:]
        if trivial.fill is _refuse:
            _refuse(None, given)
        try:
            result = function(*args[:skip], *copy.deepcopy(given), **copy.deepcopy(kwargs))
        except Exception:
            result = given[0] if given else 0.0
        return trivial.fill(result, given)

    return void


def _void_class(original: type, trivial: Trivial) -> type:
    methods = {
        name: _void_function(value, trivial, skip=1)
        for name, value in vars(original).items()
        if inspect.isfunction(value) and not name.startswith("__")
    }
    return type(original.__name__, (original,), methods)
