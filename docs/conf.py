"""The site: the guides of this folder, the notebooks with their results, the API page. Built by ``make docs``."""

import os

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

project = "updown_lab"
author = "the founders of updown_lab"
copyright = "the founders of updown_lab; MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "updown_lab"
html_static_path = ["static"]
html_css_files = ["site.css"]

# The source is the whole checkout, so that guides, notebooks and their links to one another stay where they are.
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "notebooks/README.md", "data/README.md", "README.md",
                    "coursework/student/*.ipynb"]  # fmt: skip
exclude_patterns = ["docs/conf.py", "**/.ipynb_checkpoints"]

nb_execution_mode = "force"  # a cache would not notice that the library has changed
nb_execution_excludepatterns = ["coursework/student/*"]  # the answers are the students' part
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_ipywidgets_js = {}  # nothing is fetched: a widget is shown as its own saved page
nb_mime_priority_overrides = [("html", "text/html", 0)]
os.environ["UPDOWN_SAVED_WIDGETS"] = "1"

autosummary_generate = True
napoleon_use_ivar = True
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_typehints = "signature"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Links to files that are no page of the site are kept as they are; tests/test_links.py follows every link.
suppress_warnings = ["myst.xref_missing", "myst.header", "autosummary", "ref.python", "docutils", "toc.not_included"]


html_math_renderer = "mathml"


def _equation(translator, node, display=False):
    """An equation as MathML, which browsers draw by themselves: no script, no network."""
    translator.body.append(tex2mathml(node.astext(), as_block=display))
    raise SkipNode


def setup(app):
    app.add_html_math_renderer(
        "mathml", (_equation, None), (lambda translator, node: _equation(translator, node, display=True), None)
    )
