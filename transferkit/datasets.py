"""Small loaders: text that is on every machine, labelled tables, plain corpora."""

import ast
import csv
import gzip
import importlib.util
import inspect
import json
import os
import re
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from transferkit.exceptions import MissingExtraError

__all__ = ["load_corpus", "load_docstrings", "load_labelled_csv"]

_PACKAGES = ("numpy", "scipy", "sklearn", "joblib")  # on every machine that has transferkit
_SKIPPED_FOLDERS = frozenset({"test", "tests", "_vendor", "externals", "_external", "__pycache__", "site-packages"})
_EXAMPLE = re.compile(r"^[ \t]*>>>.*(?:\n[ \t]*\S.*)*", re.MULTILINE)  # a prompt and the lines up to a blank one


def load_docstrings(
    packages: Sequence[str] | None = None, *, min_words: int = 5, remove_examples: bool = False
) -> Bunch:
    """Load the docstrings of installed Python packages: real English technical text, nothing downloaded.

    Source files are parsed, not imported. Tests and vendored copies are left out, repeated texts are kept once,
    and the order is that of the files' names and lines.

    Parameters
    ----------
    packages : list of str, default=None
        Names of installed packages, by default NumPy, SciPy, scikit-learn and joblib. Others, such as
        "torch" or "matplotlib", may be named when they are installed.
    min_words : int, default=5
        Leave out shorter docstrings.
    remove_examples : bool, default=False
        Take out the doctest examples, whose import lines give away where a text is from.

    Returns
    -------
    bunch : Bunch
        data : list of str, the docstrings without their indentation;
        target : ndarray of str, the sub-package of each, such as "scipy.linalg";
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
    for package in _PACKAGES if packages is None else packages:
        for module, path in _find_modules(package):
            for kind, name, text in _read_docstrings(path):
                text = _EXAMPLE.sub("", text).strip() if remove_examples else text
                if len(text.split()) >= min_words and text not in seen:
                    seen.add(text)
                    rows.append((text, ".".join(module.split(".")[:2]), package, kind, f"{module}.{name}".rstrip(".")))
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


def _find_modules(package):
    """Yield the dotted name and path of each source file of a package, in order."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"The package {package!r} is not installed. Install it, or leave it out of packages.")
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
    """Return the strings given to add_newdoc, by which NumPy and SciPy document what is compiled."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "add_newdoc":
        return None
    strings = [leaf.value for arg in call.args for leaf in ast.walk(arg) if isinstance(leaf, ast.Constant)]
    return strings if len(strings) >= 2 and all(isinstance(string, str) for string in strings) else None


def load_labelled_csv(
    path: str | os.PathLike[str], *, text: str = "text", label: str = "label", encoding: str = "utf-8"
) -> Bunch:
    """Load texts and their labels from a table.

    Parameters
    ----------
    path : str or path
        A ``.csv`` file, or ``.tsv`` with tabs, with a line of column names; gzipped when it ends in ``.gz``.
    text : str, default="text"
        Name of the column of texts.
    label : str, default="label"
        Name of the column of labels.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    bunch : Bunch
        data : list of str, the texts;
        target : ndarray of str, the labels;
        target_names : list of str, the sorted distinct labels.

    Raises
    ------
    ValueError
        If a column is missing (the columns are listed), a label is empty (the row is named), or there are no rows.
    """
    rows = _read_table(path, [text, label], encoding)
    texts, labels = map(list, zip(*rows, strict=True))
    if "" in labels:
        raise ValueError(f"The label in data row {labels.index('') + 1} of {str(path)!r} is empty.")
    return Bunch(data=texts, target=np.array(labels), target_names=sorted(set(labels)))


def load_corpus(path: str | os.PathLike[str], *, text: str = "text", encoding: str = "utf-8") -> list[str]:
    """Load unlabelled texts.

    Parameters
    ----------
    path : str or path
        A ``.txt`` file with one text a line, a ``.csv`` or ``.tsv`` table with a line of column names, or a
        ``.jsonl`` file with one object a line; gzipped when it ends in ``.gz``. Or a URL of one, where fsspec is
        installed.
    text : str, default="text"
        Name of the column or key of texts.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    texts : list of str
        The texts in the order of the file; blank lines are left out.

    Raises
    ------
    ValueError
        If the kind of file is unknown, the column or key is missing (those there are listed), a line is not JSON
        (its number is named), or there are no texts.
    """
    kind = _kind_of(path)
    if kind in ("csv", "tsv"):
        return [row[0] for row in _read_table(path, [text], encoding)]
    if kind not in ("txt", "jsonl"):
        raise ValueError(f"A corpus is a .txt, .csv, .tsv or .jsonl file, or one of these with .gz. Got {str(path)!r}.")
    with _open_text(path, encoding) as file:
        lines = [(number, line.rstrip("\r\n")) for number, line in enumerate(file, 1) if line.strip()]
    texts = [line if kind == "txt" else _text_of_json(line, number, path, text) for number, line in lines]
    if not texts:
        raise ValueError(f"The file {str(path)!r} holds no texts.")
    return texts


def _text_of_json(line, number, path, key):
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"Line {number} of {str(path)!r} is not JSON: {error}.") from None
    if not isinstance(record, dict) or not isinstance(record.get(key), str):
        keys = list(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"Line {number} of {str(path)!r} has no text under {key!r}. It has: {keys}.")
    return record[key]


def _read_table(path, columns, encoding):
    """Return the named columns of each row of a csv or tsv file."""
    with _open_text(path, encoding) as file, _unlimited_fields():
        reader = csv.reader(file, delimiter="\t" if _kind_of(path) == "tsv" else ",", strict=True)
        try:
            names = next(reader, [])
            for column in columns:
                if column not in names:
                    raise ValueError(f"The file {str(path)!r} has no column {column!r}. Its columns are: {names}.")
            indices = [names.index(column) for column in columns]
            rows = []
            for row in filter(None, reader):
                if len(row) != len(names):
                    raise ValueError(
                        f"Line {reader.line_num} of {str(path)!r} has {len(row)} fields; the header has {len(names)}."
                    )
                rows.append([row[index] for index in indices])
        except csv.Error as error:
            raise ValueError(f"Line {reader.line_num} of {str(path)!r} is not CSV: {error}.") from None
    if not rows:
        raise ValueError(f"The file {str(path)!r} holds no rows below its column names.")
    return rows


@contextmanager
def _unlimited_fields():
    """Let texts be longer than the csv module's 131,072 characters, which it keeps as a global setting."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _kind_of(path):
    return Path(str(path).removesuffix(".gz")).suffix.removeprefix(".").lower()


def _open_text(path, encoding):
    if "://" in str(path):
        return _open_remote_text(str(path), encoding)
    # a byte order mark, which spreadsheets write, would become part of the first column's name
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return open(path, encoding=encoding, newline="")


def _open_remote_text(url, encoding):
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(f"Reading {url!r}", "dask") from error
    return fsspec.open(url, "rt", encoding=encoding, newline="", compression="infer").open()
