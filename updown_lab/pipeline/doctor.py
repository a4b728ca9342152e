"""What this machine has, and the command that gets what it lacks."""

import os
import platform
import shutil
from pathlib import Path

import torch

from updown_lab import __version__
from updown_lab.metrics.java import find_java, missing_java_message
from updown_lab.metrics.spice import missing_spice_message, spice_jars
from updown_lab.pipeline.work import best_device


def findings() -> list[tuple[str, str]]:
    """(name, finding) pairs for a person to read.

    >>> dict(findings())["device"] in ("cpu", "cuda", "mps")
    True
    """
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    real = os.environ.get("UPDOWN_REAL_DATA", "")
    java, jars = find_java(), spice_jars()
    return [
        ("updown_lab", f"{__version__}, Python {platform.python_version()}, torch {torch.__version__}"),
        ("device", best_device().type),
        ("cores", _cores()),
        ("memory", _memory()),
        ("disk", f"{free:.0f} GB free here"),
        ("java", str(java) if java else missing_java_message()),
        ("spice", str(jars[0].parent) if jars else missing_spice_message()),
        ("real data", real if real and Path(real).exists() else
         "none; set UPDOWN_REAL_DATA to a folder laid out as data/README.md says"),
        ("quickstart", "done: runs/quickstart/report.html" if Path("runs/quickstart/report.html").exists() else
         "not run yet: make quickstart"),
    ]  # fmt: skip


def _cores() -> str:
    load = f" (load {os.getloadavg()[0]:.1f})" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()}{load}"


def _memory() -> str:
    try:
        pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{pages * size / 2**30:.1f} GB free"
