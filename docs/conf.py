"""The site: the guides of this folder, the notebooks with their results, the API page. Built by ``make docs``."""

project = "updown_lab"
author = "the founders of updown_lab"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "updown_lab"

# The source is the whole checkout, so that guides, notebooks and their links to one another stay where they are.
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "notebooks/README.md", "data/README.md", "README.md"]
exclude_patterns = ["docs/conf.py", "**/.ipynb_checkpoints"]

nb_execution_mode = "cache"  # a notebook that has not changed is not executed again
nb_execution_cache_path = "runs/site-cache"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_ipywidgets_js = {}  # nothing is fetched; a widget without its kernel shows its name

autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "myst.header", "autosummary", "ref.python", "docutils", "toc.not_included"]
