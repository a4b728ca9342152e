"""Things to look at and to touch in a notebook. Scripts and styles lie in this folder; nothing is fetched or built."""

from updown_lab.widgets.ask import AskTheImage
from updown_lab.widgets.explorer import AttentionExplorer, compare_attention
from updown_lab.widgets.panels import Panel

__all__ = ["AskTheImage", "AttentionExplorer", "Panel", "compare_attention"]
