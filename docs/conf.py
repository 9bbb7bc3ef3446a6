"""Settings of the documentation site, which `make docs` builds.

The source folder is that of the project, so the pages outside docs/ belong to the site and their links are
checked.
"""

import argparse
import logging
import os
from importlib.metadata import version as find_version

from oceanfill.pipeline.cli.arguments import LIGHTNING, parser
from oceanfill.pipeline.experiments.reproduce import COSTS, find_experiment, list_names
from sphinx.application import Sphinx

project = "oceanfill"
author = "The oceanfill developers"
release = version = find_version("oceanfill")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    "benchmarks/RESULTS.md",
    "sample_data/README.md",
]
exclude_patterns = ["docs/site", "docs/examples", "docs/**/*.ipynb", "docs/**/*.py", "docs/**/*.zip"]

html_theme = "furo"
html_title = "oceanfill"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
highlight_language = "text"
copybutton_selector = "div.highlight-shell pre, div.highlight-python pre"

logging.getLogger("oceanfill").setLevel(logging.WARNING)  # of the examples
sphinx_gallery_conf = {
    "examples_dirs": "docs/examples",
    "gallery_dirs": "docs/gallery",
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
}

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "none"  # the docstrings give shapes and units, which types do not
autodoc_member_order = "bysource"
nitpicky = False  # types in the docstrings are words


def describe_commands() -> str:
    """Return the help of every command in Markdown, a section each."""
    root = parser()
    (commands,) = (one for one in root._actions if isinstance(one, argparse._SubParsersAction))
    helps = {"oceanfill": root.format_help()}
    helps |= {name: one.format_help() for name, one in commands.choices.items() if name not in LIGHTNING}
    return "\n".join(f"## {name}\n\n```text\n{text}```\n" for name, text in helps.items())


def describe_experiments() -> str:
    """Return the costs and targets of the shipped experiments as a Markdown table."""
    rows = [("experiment", *COSTS), ("---",) * (1 + len(COSTS))]
    rows += [(f"`{name}`", *find_experiment(name).costs.values()) for name in list_names()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def add_generated(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the generated parts where their pages want them."""
    if page == "docs/reference/command_line":
        source[0] = source[0].replace("COMMANDS", describe_commands())
    if page == "docs/course":
        source[0] = source[0].replace("EXPERIMENTS", describe_experiments())


def setup(app: Sphinx) -> None:
    """Connect the pages that are generated. Sphinx calls this."""
    os.environ["COLUMNS"] = "100"  # of the help
    app.connect("source-read", add_generated)
