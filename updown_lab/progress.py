"""One progress bar for everything that takes more than two seconds.

Stages that run side by side each get a line of the terminal (``UPDOWN_BAR``); where
nobody watches (a log file), a bar prints now and then instead of all the time.
"""

import os
import sys

from tqdm.auto import tqdm


def progress(
    items=None, title: str = "", total: int | None = None, unit: str = "item", initial: int = 0, show: bool = True
):
    """A progress bar with an estimate of the time left.

    Args:
        items:   what to go through; None gives a bar to ``update`` by hand.
        title:   text before the bar.
        total:   how many there will be.
        unit:    what is counted.
        initial: how many were done before.
        show:    False for no bar.

    >>> list(progress([1, 2], "counting"))
    [1, 2]
    """
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        items, desc=title, total=total, unit=unit, initial=initial, leave=False, dynamic_ncols=True,
        disable=not show,
        mininterval=0.3 if watched else 30.0, delay=0.5 if watched else 10.0,
        position=int(os.environ["UPDOWN_BAR"]) if "UPDOWN_BAR" in os.environ else None,
    )  # fmt: skip
