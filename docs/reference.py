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
TOP = ("save", "load", "describe")  # of the package of model files only the names at the top level are public


def write_all(folder):
    """Write an index, and for each package a page with a table of its names.

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
    _write(folder / "index.rst", f"{_title('API reference')}\n.. toctree::\n   :maxdepth: 2\n\n{names}\n")


def _page(package):
    module = importlib.import_module(f"transferkit.{package}")
    names = TOP if package == "persistence" else module.__all__
    owner = "transferkit" if package == "persistence" else f"transferkit.{package}"
    lines = "\n".join(f"   {name}" for name in names)
    summary = (inspect.getdoc(module) or "").splitlines()[0]
    table = f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{lines}\n"
    return f"{_title(PACKAGES[package])}\n{summary}\n\n.. currentmodule:: {owner}\n\n{table}"


def _title(text):
    return f"{text}\n{'=' * len(text)}\n"


def _write(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
