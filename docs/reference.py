"""Write the pages of the API reference, one per package, from what the packages export."""

import importlib
import inspect

PACKAGES = {
    "encoders": "Encoders: unlabelled data to features",
    "heads": "Heads: features and labels to predictions",
    "transfer": "Transfer: an encoder and a head as one",
    "adaptation": "Adaptation: from one domain to another",
    "selection": "Selection: of encoders, of what to label next, and of predictions to accept",
    "compression": "Compression: smaller heads",
    "inspection": "Inspection: explanations and plots",
    "persistence": "Model files",
    "export": "Export: scikit-learn and ONNX models",
    "distributed": "Distributed: sharded corpora",
    "datasets": "Data sets",
    "exceptions": "Exceptions and warnings",
}
TOCTREE = "   :toctree: generated\n"
TOP = ("save", "load", "describe")  # of the package of model files only the names at the top level are public


def write_all(folder):
    """Write an index with a table of the names of each package, and a page for each.

    Parameters
    ----------
    folder : Path
        Created if it does not exist. Unchanged pages are not rewritten.
    """
    folder.mkdir(exist_ok=True)
    packages = [package for package in PACKAGES if importlib.util.find_spec(f"transferkit.{package}")]
    for package in packages:
        _write(folder / f"{package}.rst", _page(package))
    names = "\n".join(f"   {package}" for package in packages)
    toctree = f".. toctree::\n   :maxdepth: 2\n   :hidden:\n\n{names}\n"
    tables = "\n".join(f"{_title(PACKAGES[package], '-')}\n{_table(package)}" for package in packages)
    _write(folder / "index.rst", f"{_title('API reference')}\n{toctree}\n{tables}")


def _page(package):
    summary = (inspect.getdoc(importlib.import_module(f"transferkit.{package}")) or "").splitlines()[0]
    return f"{_title(PACKAGES[package])}\n{summary}\n\n{_table(package, TOCTREE)}"


def _table(package, option=""):
    """Return a table of the names of a package with the first lines of their docstrings."""
    is_top = package == "persistence"
    names = TOP if is_top else importlib.import_module(f"transferkit.{package}").__all__
    owner = "transferkit" if is_top else f"transferkit.{package}"
    lines = "\n".join(f"   {name}" for name in names)
    return f".. currentmodule:: {owner}\n\n.. autosummary::\n   :nosignatures:\n{option}\n\n{lines}\n"


def _title(text, underline="="):
    return f"{text}\n{underline * len(text)}\n"


def _write(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
