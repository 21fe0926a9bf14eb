"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from pygments.lexer import RegexLexer, bygroups
from pygments.token import Generic
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "guard"
copyright = "the authors of guard"
release = re.search(r'__version__ = "(.+)"', (ROOT / "guard" / "__init__.py").read_text())[1]  # type: ignore[index]

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
# A page that a link names with an anchor, `checks.md#guarde001`, is checked to have it: nothing is left to chance.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = f"guard {release}"
html_show_sphinx = False
# These pages are read where there is no network, too.
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


class Console(RegexLexer):
    """Commands behind a dollar sign, and what they print. The usual one takes a number sign for root's prompt."""

    name = "console"
    tokens = {
        "root": [
            (r"^(\$ )(.*\n)", bygroups(Generic.Prompt, Generic.Strong)),
            (r".*\n", Generic.Output),
        ]
    }


def _anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Give every heading the id that links in Markdown know it by: they work in the built pages, too."""
    for section in doctree.findall(nodes.section):
        slug = section.get("slug")
        if slug and slug not in section["ids"]:
            section["ids"].append(slug)


def setup(app: Sphinx) -> dict[str, object]:
    """Called by Sphinx."""
    app.connect("doctree-read", _anchors)
    app.add_lexer("console", Console)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
