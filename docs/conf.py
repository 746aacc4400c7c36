"""Sphinx configuration; ``make docs`` builds the site without network."""

import os
import re
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import FileNameSortKey

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")
mpl.use("agg")
warnings.filterwarnings("ignore", "Using `httpx` with `starlette.testclient`")  # as in the tests; it would be published

import pictures  # noqa: E402
import reference  # noqa: E402

import transferkit  # noqa: E402

project, author, release = "transferkit", "the transferkit authors", transferkit.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5", "sg_execution_times.rst"]
myst_enable_extensions = ["dollarmath", "attrs_block", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "transferkit"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "header_links_before_dropdown": 7,
}
html_sidebars = {
    name: [] for name in ("install", "tutorial", "results", "glossary", "pitfalls", "troubleshooting", "changelog")
}

autodoc_typehints = "none"  # the docstrings describe the types
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseEstimator,ClassifierMixin,RegressorMixin,TransformerMixin,"
    "ClassNamePrefixFeaturesOutMixin,OneToOneFeatureMixin,CallbackSupportMixin,ModelFileError,ValueError,Exception,"
    "BaseException,object",
    "exclude-members": "set_fit_request,set_score_request,set_predict_request,set_transform_request,"
    "set_partial_fit_request,set_inverse_transform_request,get_metadata_routing,set_output,get_params,set_params",
}
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True
numpydoc_use_blockquotes = False

nitpicky = True  # every reference inside the project must lead somewhere
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(pathlib|sklearn|numpy|np|scipy|joblib|torch|pandas|matplotlib|safetensors|collections|typing|dask|skada)\b.*",
    ),
    (r"py:.*", r"transferkit\._.*"),  # private classes, as bases
    (r"py:(class|obj|exc)", r"[^.]*"),  # words in type fields: "array-like of shape (n_samples,)"
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": FileNameSortKey,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "capture_repr": ("_repr_html_",),
}


def visit_math(self, node):
    """Write a formula as MathML, which browsers show without a script and without network."""
    self.body.append(tex2mathml(node.astext()))
    raise_skip()


def visit_displaymath(self, node):
    """Write a formula on a line of its own as MathML."""
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise_skip()


def raise_skip():
    """Tell docutils that the node has been written."""
    from docutils.nodes import SkipNode

    raise SkipNode


NAME_WITH_UNDERSCORE = re.compile(r"(``.*?``|`[^`]*`)|(?<=[A-Za-z])_(?=[\s,)]|$)")
TOP_NAME = re.compile(r"(?<=`)(~?)transferkit\.(\w+)(?=`)")
SEE_ALSO = re.compile(r"^()(?:transferkit\.)?(\w+)(?= : [A-Z])")


def tidy_docstring(app, what, name, obj, options, lines):
    """Keep names such as coef_ from being read as references, and link top-level names to their packages."""
    see_also = lines.index("See Also") if "See Also" in lines else len(lines)
    for i, line in enumerate(lines):
        if see_also < i and line == "Notes":
            see_also = len(lines)
        if see_also < i and (found := SEE_ALSO.match(line)) and found[2] in transferkit._PACKAGE_OF_NAME:
            line = SEE_ALSO.sub(lengthen, line).lstrip("~")
        if not line.lstrip().startswith((">>>", "...")):
            line = NAME_WITH_UNDERSCORE.sub(lambda match: match[0] if match[1] else r"\_", line)
        lines[i] = TOP_NAME.sub(lengthen, line)


def lengthen(match):
    """Return the name with its package, unless that is the package of model files."""
    package = transferkit._PACKAGE_OF_NAME.get(match[2], "persistence")
    return match[0] if package == "persistence" else f"~transferkit.{package}.{match[2]}"


def setup(app):
    """Register the formulas, and write the pictures and the reference before anything is read."""
    app.connect("autodoc-process-docstring", tidy_docstring, priority=100)
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_displaymath, None))
    pictures.draw_all(HERE / "_pictures")
    reference.write_all(HERE / "reference")
