"""Things to look at and to touch in a notebook. Scripts and styles lie in this folder; nothing is fetched or built."""

from updown_lab.widgets.ask import AskTheImage
from updown_lab.widgets.beam import BeamTree
from updown_lab.widgets.browse import RegionBrowser
from updown_lab.widgets.errors import ErrorBrowser
from updown_lab.widgets.explorer import AttentionExplorer, compare_attention
from updown_lab.widgets.monitor import TrainingMonitor
from updown_lab.widgets.panels import Panel
from updown_lab.widgets.paper import plot_attention

__all__ = [
    "AskTheImage",
    "AttentionExplorer",
    "BeamTree",
    "ErrorBrowser",
    "Panel",
    "RegionBrowser",
    "TrainingMonitor",
    "compare_attention",
    "plot_attention",
]
