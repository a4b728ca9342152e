"""How a check answers: it tries a learner's function on small cases, and says which slip its numbers look like."""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from updown_lab.coursework.differences import difference, shown


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
        hint:  one or two sentences: what the numbers show, and what to think about; never the line of code. Where
               several mistakes give the same numbers (nan is nan), it says what is true of all of them.
    """

    wrong: Callable
    hint: str


def try_out(
    function: Callable,
    name: str,
    right: Callable,
    cases: Mapping[str, tuple],
    slips: Sequence[Slip] = (),
    parts: Mapping[str, int] | None = None,
) -> None:
    """Call a learner's function on each case and compare; the first difference becomes a hint.

    A number that is wrong says little. A number that is wrong in the same way as a known mistake says what to do, so
    the known mistakes are made here too and compared with what came out: in this case, and in all before it. Whoever
    had those right did not make a mistake that spoils them, even if this one number is the same.

    Args:
        function: the learner's, the function itself.
        name:     what the exercise calls it.
        right:    what should come out.
        cases:    arguments by a few words that say what is special about them.
        slips:    known mistakes, the likeliest first.
        parts:    of a result with several, as for ``difference``.

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
    seen = []
    for case, arguments in cases.items():
        wanted = right(*copy.deepcopy(arguments))
        given = call(function, name, case, arguments)
        seen.append((arguments, given))
        found = difference(given, wanted, parts)
        if found:
            said = [slip.hint for slip in slips if all(_same(slip.wrong, *pair) for pair in seen)]
            raise Hint(f"{name}, {case}: {said[0] if said else found} {shown(name, arguments, given, wanted)}".strip())
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


def _same(wrong: Callable, arguments: tuple, given) -> bool:
    try:
        return not difference(given, wrong(*copy.deepcopy(arguments)))
    except Exception:  # a mistake may also stop with an error, and then it is not this one
        return False


def _written_into(after, before) -> bool:
    if isinstance(before, Tensor):
        return after.shape != before.shape or not torch.equal(after.nan_to_num(7.5), before.nan_to_num(7.5))
    return isinstance(before, (list, dict)) and after != before
