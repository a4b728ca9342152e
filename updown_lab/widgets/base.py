"""What all widgets have in common: script and style from this folder, saving to a page, tidying up."""

import base64
import html
import json
import os
from pathlib import Path

import anywidget
import ipywidgets
import traitlets

from updown_lab.files import atomic_path

HERE = Path(__file__).parent

# The stand-in for a kernel: it remembers what is set and answers nothing. Text and styles come from this page alone.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src blob:; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<title>{title}</title>
<style>
html {{ color-scheme: light dark; }}
body {{ margin: 0; padding: 28px 16px; background: #eef0f5; }}
main {{ max-width: 1180px; margin: 0 auto; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d0f15; }} }}
{style}
</style></head><body><main id="widget"></main>
<script type="application/json" id="state">{state}</script>
<script type="module">
{script}
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const revive = (key, value) => (value && value.$bytes !== undefined ? bytes(value.$bytes) : value);
const state = JSON.parse(document.getElementById("state").textContent, revive), ears = {{}};
const model = {{
  offline: true,
  get: (name) => state[name],
  set: (name, value) => {{
    if (state[name] === value) return;
    state[name] = value;
    (ears[`change:${{name}}`] || []).forEach((hear) => hear());
  }},
  save_changes() {{}},
  send() {{}},
  on: (name, hear) => (ears[name] ||= []).push(hear),
  off: (name, hear) => (ears[name] = (ears[name] || []).filter((other) => other !== hear)),
}};
widget.render({{ model, el: document.getElementById("widget") }});
</script></body></html>
"""

# As high as what it holds. The page in it is our own, with all text escaped, so its outside may ask and change it.
FRAME = """<iframe srcdoc="{page}" title="saved widget" style="width: 100%; height: 640px; border: 0" onload="\
const {{ body }} = this.contentDocument; body.style.padding = '4px 0'; body.style.background = 'none'; \
this.style.height = `${{body.offsetHeight + 4}}px`"></iframe>"""


def script(*names: str) -> str:
    """The ES module of a widget: its parts one after the other, because a notebook loads a single file.

    >>> script("shared", "explorer").count("export default")
    1
    """
    return "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in names)


def style() -> str:
    """The style sheet of all widgets."""
    return (HERE / "widgets.css").read_text(encoding="utf-8")


class Shown(anywidget.AnyWidget):
    """A widget of this library. Running a cell again closes the widgets that the cell made before."""

    scripts: tuple[str, ...] = ()  # the parts of the ES module, also of a saved page
    _css = style()

    note = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **traits):
        close_earlier(self)
        super().__init__(**traits)

    def save_html(self, path: Path | str, title: str = "updown_lab") -> Path:
        """Write one page that works without a kernel and without a network: hovering, pinning and playing included.

        Args:
            path:  the file, by custom ``.html``; written whole or not at all.
            title: of the browser's tab.

        Returns:
            the path.
        """
        with atomic_path(path) as draft:
            draft.write_text(self.page(title), encoding="utf-8")
        return Path(path)

    def page(self, title: str = "updown_lab") -> str:
        """What ``save_html`` writes, as text."""
        state = {name: _plain(getattr(self, name)) for name in sorted(self.class_own_state())}
        text = json.dumps(state, allow_nan=False).replace("<", "\\u003c")  # no caption may end the script
        code = script(*self.scripts).replace("export default", "const widget =")
        return PAGE.format(title=html.escape(title), style=style(), state=text, script=code)

    def _repr_mimebundle_(self, **asked):
        return with_page(super()._repr_mimebundle_(**asked), self)

    @classmethod
    def class_own_state(cls) -> set[str]:
        """Names of the synchronised traits that this library added, without those of every Jupyter widget."""
        ours = {name for kind in cls.__mro__ if kind.__module__.startswith("updown_lab") for name in vars(kind)}
        return {name for name in cls.class_trait_names(sync=True) if name in ours and not name.startswith("_")}


def with_page(bundle, widget: Shown):
    """A notebook's output of a widget; if UPDOWN_SAVED_WIDGETS is set, with its page for places without a kernel.

    Args:
        bundle: what Jupyter would show: {kind: data}, alone or with metadata.
        widget: the one to save in the frame.
    """
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    if os.environ.get("UPDOWN_SAVED_WIDGETS") and data is not None:
        data["text/html"] = FRAME.format(page=html.escape(widget.page()))
    return bundle


def _plain(value):
    """A trait as JSON, bytes as base64."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


_MADE: dict[str, tuple[str, list]] = {}  # cell -> (its last execution, widgets made then)


def close_earlier(widget: ipywidgets.Widget) -> None:
    """Remember a widget for its cell, and close what an earlier run of that cell left.

    Without this every run of a cell would leave a widget, its picture and its comm behind for good. Outside of a
    notebook nothing happens.
    """
    cell, execution = _cell()
    if not cell:
        return
    before, made = _MADE.get(cell, ("", []))
    if before != execution:
        for old in made:
            put_away(old)
        made = []
    _MADE[cell] = (execution, [*made, widget])


def put_away(widget: ipywidgets.Widget) -> None:
    """Close a widget and what nobody else closes: its children, its layout, its style."""
    parts = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in [*getattr(widget, "children", ()), *parts]:
        if isinstance(part, ipywidgets.Widget):
            put_away(part)
    widget.close()


def _cell() -> tuple[str, str]:
    """The notebook cell that is running and the number of this execution; empty outside of a notebook.

    JupyterLab, Notebook 7 and VS Code tell the cell's id, and Colab tells it elsewhere. Where nobody tells it, cells
    are told apart by their text: of two cells with the very same text, the later one then closes the earlier one's.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return "", ""
    shell = get_ipython()
    if shell is None or not hasattr(shell, "get_parent"):
        return "", ""
    request = shell.get_parent() or {}
    told = request.get("metadata") or {}
    names = (told.get("cellId"), (told.get("colab") or {}).get("cell_id"), (request.get("content") or {}).get("code"))
    return str(next(filter(None, names), "")), str((request.get("header") or {}).get("msg_id", ""))
