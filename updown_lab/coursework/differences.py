"""Two results side by side: what is different, in words, and how the call is shown."""

from collections.abc import Mapping

import torch
from torch import Tensor

LOOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 in another order of sums is still right
WIDE = 90  # characters of one argument or result; more is not read


def difference(given, wanted, parts: Mapping[str, int] | None = None) -> str:
    """What is different, in words; empty if nothing is.

    Args:
        given:  what came out.
        wanted: what should have come out.
        parts:  where ``wanted`` is a tuple: the name of each part and its place, what is computed first comes first.

    >>> difference(torch.zeros(2), torch.zeros(1, 2))
    'the shape should be (1, 2), but it is (2,).'
    >>> difference({"a": 1}, {"a": 1, "b": 2})
    "'b' is missing."
    >>> difference(1.0, 1.0000001)
    ''
    >>> difference((7, 4), (9, 4), {"half": 1, "whole": 0})
    'whole: the numbers are different. Right: half.'
    """
    if isinstance(wanted, Tensor):
        return _tensor_difference(given, wanted)
    if isinstance(wanted, Mapping):
        return _mapping_difference(given, wanted)
    if isinstance(wanted, (tuple, list)):
        if not isinstance(given, (tuple, list)) or len(given) != len(wanted):
            return f"it should give {len(wanted)} things, but it gives {_kind(given)}."
        found = [difference(*pair) for pair in zip(given, wanted, strict=True)]
        return _named(found, parts) if parts and any(found) else next(filter(None, found), "")
    if isinstance(wanted, float | int):
        try:
            return _tensor_difference(torch.tensor(float(given)), torch.tensor(float(wanted)))
        except (TypeError, ValueError, RuntimeError):
            return f"it should be a number, but it is {_kind(given)}."
    return "" if given == wanted else f"it should be {wanted!r}, but it is {given!r}."


def shown(name: str, arguments: tuple, given, wanted) -> str:
    """The call and both results, as far as they are small enough to be read.

    >>> shown("double", (3,), 9, 6)
    'double(3) gave 9, it should give 6'
    >>> shown("total", (list(range(1000)),), 7, 499500)
    'It gave 7, it should give 499500'
    >>> shown("total", (torch.tensor([3.0]),), torch.zeros(1000), 3.0)
    ''
    """
    asked, results = [_short(part) for part in arguments], [_short(given), _short(wanted)]
    if None in results:
        return ""
    call = "It" if None in asked else f"{name}({', '.join(asked)})"
    return f"{call} gave {results[0]}, it should give {results[1]}"


def _named(found: list[str], parts: Mapping[str, int]) -> str:
    """The first part that is wrong, and those that are right: one wrong part makes wrong whatever needs it."""
    first = next(name for name, place in parts.items() if found[place])
    right = ", ".join(name for name, place in parts.items() if not found[place])
    return f"{first}: {found[parts[first]]} Right: {right or 'none of ' + ', '.join(parts)}."


def _tensor_difference(given, wanted: Tensor) -> str:
    if not isinstance(given, Tensor):
        return f"it should be a tensor, but it is {_kind(given)}."
    if given.shape != wanted.shape:
        return f"the shape should be {tuple(wanted.shape)}, but it is {tuple(given.shape)}."
    if given.is_floating_point() != wanted.is_floating_point() or (given.dtype == torch.bool) != (
        wanted.dtype == torch.bool
    ):
        return f"the numbers should be {wanted.dtype}, but they are {given.dtype}."
    given, wanted = given.detach().double(), wanted.detach().double()
    if given.isnan().any() and not wanted.isnan().any():
        return "there is a nan in it: look for 0/0, inf - inf, or 0 * nan in something that should have been left out."
    return "" if torch.allclose(given, wanted, equal_nan=True, **LOOSE) else "the numbers are different."


def _mapping_difference(given, wanted: Mapping) -> str:
    if not isinstance(given, Mapping):
        return f"it should be a dictionary (a Counter is one), but it is {_kind(given)}."
    for key in wanted:
        if key not in given:
            return f"{key!r} is missing."
    for key in given:
        if key not in wanted:
            return f"{key!r} should not be there."
    return next((f"{key!r}: {found}" for key in wanted if (found := difference(given[key], wanted[key]))), "")


def _kind(value) -> str:
    sized = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"{type(value).__name__}{sized}"


def _short(value) -> str | None:
    """A value as one would type it; None if it is too long, or nothing that is typed."""
    if callable(value):
        return getattr(value, "__name__", "").lstrip("_") or None
    if isinstance(value, Tensor):
        rounded = value.detach().double().mul(1e4).round().div(1e4) if value.is_floating_point() else value
        text = f"tensor({rounded.tolist()})"
    else:
        text = repr(round(value, 4) if isinstance(value, float) else value)
    return text if len(text) <= WIDE else None
