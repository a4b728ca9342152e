"""Bottom-up and top-down attention: a small library to learn, run and take apart the paper of 2018.

import updown_lab as ul
ul.demo().explore()          # models that were trained beforehand, on a freshly drawn picture
"""

import importlib

__version__ = "0.1.0"


def __getattr__(name: str):
    """``ul.demo`` arrives when it is asked for: torch and all others stay out of ``import updown_lab``."""
    if name == "demo":
        return importlib.import_module("updown_lab.demo")  # a module that can be called, see its last lines
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "demo"})
