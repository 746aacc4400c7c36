"""Text available on every machine: the docstrings of installed packages."""

import ast
import gc
import importlib.util
import inspect
import re
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_docstrings"]

_PACKAGES = ("numpy", "scipy", "sklearn", "joblib")  # dependencies of transferkit
_SKIPPED_FOLDERS = frozenset({"test", "tests", "_vendor", "externals", "_external", "__pycache__", "site-packages"})
_EXAMPLE = re.compile(r"^[ \t]*>>>.*(?:\n[ \t]*\S.*)*", re.MULTILINE)  # a prompt and the lines up to a blank line


def load_docstrings(
    packages: Sequence[str] | None = None, *, min_words: int = 5, remove_examples: bool = False
) -> Bunch:
    """Load the docstrings of installed Python packages: real technical English, without a download.

    Source files are parsed, not imported. Tests and vendored copies are skipped, duplicates are dropped, and the order
    is that of file names and lines.

    Parameters
    ----------
    packages : list of str, default=None
        Names of installed packages; by default NumPy, SciPy, scikit-learn and joblib.
    min_words : int, default=5
        Skip shorter docstrings.
    remove_examples : bool, default=False
        Remove doctest examples, whose import lines reveal the source of a text.

    Returns
    -------
    bunch : Bunch
        data : list of str, the docstrings without their indentation;
        target : ndarray of str, the sub-package of each text, such as "scipy.linalg";
        target_names : list of str, the sorted sub-packages;
        package : ndarray of str, such as "scipy";
        kind : ndarray of str: "module", "class", "method" or "function";
        name : list of str, such as "scipy.linalg._basic.solve".

    Raises
    ------
    ValueError
        If a package is not installed.

    Examples
    --------
    >>> from transferkit.datasets import load_docstrings
    >>> docstrings = load_docstrings(["joblib"])
    >>> sorted(set(docstrings.kind.tolist()))
    ['class', 'function', 'method', 'module']
    """
    rows, seen = [], set()
    with _without_collector():
        for package in _PACKAGES if packages is None else packages:
            for module, path in _find_modules(package):
                area = ".".join(module.split(".")[:2])
                for kind, name, text in _read_docstrings(path):
                    text = _EXAMPLE.sub("", text).strip() if remove_examples else text
                    if len(text.split()) >= min_words and text not in seen:
                        seen.add(text)
                        rows.append((text, area, package, kind, f"{module}.{name}".rstrip(".")))
    if not rows:
        raise ValueError(f"The packages {packages!r} hold no docstrings of {min_words} words or more.")
    texts, areas, owners, kinds, names = map(list, zip(*rows, strict=True))
    return Bunch(
        data=texts,
        target=np.array(areas),
        target_names=sorted(set(areas)),
        package=np.array(owners),
        kind=np.array(kinds),
        name=names,
    )


@contextmanager
def _without_collector():
    """Pause the search for reference cycles, of which syntax trees have none, and which takes half the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _find_modules(package):
    """Yield the dotted name and path of each source file of a package, in order."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"The package {package!r} is not installed. Install it, or remove it from 'packages'.")
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if _SKIPPED_FOLDERS.isdisjoint(parts):
                yield ".".join([package, *[part for part in parts if part != "__init__"]]), path


def _read_docstrings(path):
    """Return (kind, dotted name, text) of each docstring in a source file, in the order of its lines."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # templates and files for other Python versions
        return []
    found = []

    def visit(node, kind, names):
        if text := ast.get_docstring(node):
            found.append((kind, ".".join(names), text))
        for child in node.body:
            if isinstance(child, ast.ClassDef):
                visit(child, "class", [*names, child.name])
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                visit(child, "method" if kind == "class" else "function", [*names, child.name])
            elif strings := _read_add_newdoc(child):
                found.append(("function", strings[-2], inspect.cleandoc(strings[-1])))

    visit(tree, "module", [])
    return found


def _read_add_newdoc(node):
    """Return the string arguments of add_newdoc, with which NumPy and SciPy document compiled functions."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "add_newdoc":
        return None
    strings = [leaf.value for arg in call.args for leaf in ast.walk(arg) if isinstance(leaf, ast.Constant)]
    return strings if len(strings) >= 2 and all(isinstance(string, str) for string in strings) else None
