"""How a check answers: it tries a learner's function on small cases, and says which slip its numbers look like."""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LOOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 in another order of sums is still right


class Hint(AssertionError):
    """What to look at next. A notebook shows the sentence alone, without a stack trace.

    It is an error so that one and the same line helps the learner now and counts when the notebook is graded.

    >>> Hint("iou: these boxes only touch")._render_traceback_()
    ['Not yet. iou: these boxes only touch']
    """

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet. {self}"]


@dataclass(frozen=True)
class Slip:
    """A wrong way that many people take, and what to say to whoever took it.

    Attributes:
        wrong: takes what the learner's function takes, and makes the mistake.
        hint:  one or two sentences: what the numbers show, and what to think about; never the line of code.
    """

    wrong: Callable
    hint: str


def try_out(
    function: Callable, name: str, right: Callable, cases: Mapping[str, tuple], slips: Sequence[Slip] = ()
) -> None:
    """Call a learner's function on each case and compare; the first difference becomes a hint.

    A number that is wrong says little. A number that is wrong in the same way as a known mistake says what to do, so
    the known mistakes are made here too and compared with what came out.

    Args:
        function: the learner's, the function itself.
        name:     what the exercise calls it.
        right:    what should come out.
        cases:    arguments by a few words that say what is special about them.
        slips:    known mistakes, the likeliest first.

    Raises:
        Hint: something is not right yet.

    >>> double = lambda number: number * 2
    >>> cases = {"three": (3,)}
    >>> try_out(double, "double", double, cases)
    double: right (three).
    >>> try_out(lambda number: number**2, "double", double, cases, [Slip(lambda n: n**2, "that is the square.")])
    Traceback (most recent call last):
    ...
    updown_lab.coursework.hints.Hint: double, three: that is the square. double(3) gave 9, it should give 6
    """
    if not callable(function):
        raise Hint(f"{name}: hand over the function itself, without calling it: check({name}), "
                   f"not check({name}(...)); got {type(function).__name__}")  # fmt: skip
    for case, arguments in cases.items():
        wanted = right(*copy.deepcopy(arguments))
        given = call(function, name, case, arguments)
        found = difference(given, wanted)
        if found:
            said = [slip.hint for slip in slips if _same(slip.wrong, arguments, given)]
            raise Hint(f"{name}, {case}: {said[0] if said else found} {_shown(name, arguments, given, wanted)}".strip())
    print(f"{name}: right ({', '.join(cases)}).")


def call(function: Callable, name: str, case: str, arguments: tuple):
    """What the learner's function gives, on a copy of the arguments.

    Raises:
        Hint: it is still empty, it stops with an error, it gives nothing, or it writes into its arguments.

    >>> call(len, "len", "a word", ("cat",))
    3
    """
    mine = copy.deepcopy(arguments)
    try:
        given = function(*mine)
    except NotImplementedError:
        raise Hint(f"{name} is still empty: write it where it says YOUR CODE HERE, and run its cell") from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        line = f" in `{place.line}`" if place.line else ""
        raise Hint(f"{name}, {case}: it stops with {type(error).__name__}: {error}{line}") from error
    if given is None:
        raise Hint(f"{name}, {case}: it gives None; is there a `return` at its end?")
    changed = [number for number, pair in enumerate(zip(mine, arguments)) if _written_into(*pair)]
    if changed:
        raise Hint(f"{name}, {case}: its argument number {changed[0] + 1} was different after the call; work on a copy "
                   "(an operation that ends in `_`, or `tensor[...] = `, writes in place)")  # fmt: skip
    return given


def difference(given, wanted) -> str:
    """What is different, in words; empty if nothing is.

    >>> difference(torch.zeros(2), torch.zeros(1, 2))
    'the shape should be (1, 2), but it is (2,).'
    >>> difference({"a": 1}, {"a": 1, "b": 2})
    "'b' is missing."
    >>> difference(1.0, 1.0000001)
    ''
    """
    if isinstance(wanted, Tensor):
        return _tensor_difference(given, wanted)
    if isinstance(wanted, Mapping):
        return _mapping_difference(given, wanted)
    if isinstance(wanted, (tuple, list)):
        if not isinstance(given, (tuple, list)) or len(given) != len(wanted):
            return f"it should give {len(wanted)} things, but it gives {_kind(given)}."
        return next((found for found in map(difference, given, wanted) if found), "")
    if isinstance(wanted, float | int):
        try:
            return _tensor_difference(torch.tensor(float(given)), torch.tensor(float(wanted)))
        except (TypeError, ValueError, RuntimeError):
            return f"it should be a number, but it is {_kind(given)}."
    return "" if given == wanted else f"it should be {wanted!r}, but it is {given!r}."


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


def _same(wrong: Callable, arguments: tuple, given) -> bool:
    try:
        return not difference(given, wrong(*copy.deepcopy(arguments)))
    except Exception:  # a mistake may also stop with an error, and then it is not this one
        return False


def _written_into(after, before) -> bool:
    if isinstance(before, Tensor):
        return after.shape != before.shape or not torch.equal(after.nan_to_num(7.5), before.nan_to_num(7.5))
    return isinstance(before, (list, dict)) and after != before


def _kind(value) -> str:
    sized = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"{type(value).__name__}{sized}"


def _shown(name: str, arguments: tuple, given, wanted) -> str:
    """The call and both results, if they are small enough to be read."""
    parts = [_short(part) for part in (*arguments, given, wanted)]
    if None in parts:
        return ""
    return f"{name}({', '.join(parts[:-2])}) gave {parts[-2]}, it should give {parts[-1]}"


def _short(value) -> str | None:
    if isinstance(value, nn.Module):
        return None
    if isinstance(value, Tensor):
        rounded = value.detach().double().mul(1e4).round().div(1e4) if value.is_floating_point() else value
        value = rounded.tolist()
    if isinstance(value, float):
        value = round(value, 4)
    text = repr(value)
    return text if len(text) <= 90 else None
