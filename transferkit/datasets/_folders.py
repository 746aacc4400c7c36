"""Folders of documents, one per file, as tables; sub-folders may be labels."""

import os
from pathlib import Path

from transferkit.datasets._rows import Rows
from transferkit.datasets.files import TABLE_KINDS, TextFile, kind_of
from transferkit.datasets.messages import messages

__all__ = ["is_folder", "open_folder"]


def is_folder(source: object) -> bool:
    """Return whether a path is that of a folder."""
    return isinstance(source, (str, os.PathLike)) and os.path.isdir(source)


def open_folder(
    source: str | os.PathLike[str], encoding: str | None, errors: str, *, recursive: bool, labelled: bool
) -> Rows:
    """Return documents as rows of the columns "file" and "text", and "label" if `labelled`.

    The label of a document is the name of the sub-folder that holds it. Documents are sorted by their paths; hidden
    files are not documents. Files in sub-folders of these, or of the folder unless `labelled`, are read if `recursive`.
    ValueError is raised if there are no documents, if one is a table, or if a sub-folder of a label is ambiguous.
    """
    name, root = os.fspath(source), Path(source)
    found = sorted(path for path in root.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(root)))
    depth = 2 if labelled else 1
    nested = [path for path in found if len(path.relative_to(root).parts) > depth]
    if nested and not recursive:
        _name_nested(nested[0], name, labelled, is_all=len(nested) == len(found), n_files=len(nested))
        found = [path for path in found if len(path.relative_to(root).parts) <= depth]
    if not found:
        raise ValueError(f"The folder {name!r} holds no files.")
    for path in found:
        if kind_of(path) in TABLE_KINDS:
            raise ValueError(
                f"The folder {name!r} holds the table {path.relative_to(root).as_posix()!r}, but a folder holds one "
                "document per file. Give the paths of the tables themselves."
            )
    if labelled and all(len(path.relative_to(root).parts) == 1 for path in found):
        raise ValueError(f"The folder {name!r} has no sub-folders, whose names are the labels of the files in them.")
    names = ["file", "text", "label"] if labelled else ["file", "text"]
    return Rows(name, names, _read_documents(root, found, encoding, errors, labelled), "File")


def _is_hidden(path):
    return any(part.startswith(".") for part in path.parts)


def _name_nested(first, name, labelled, *, is_all, n_files):
    """Report files in sub-folders that are not read, or raise ValueError if these are all, or labels are ambiguous."""
    recursive = messages().option("recursive", True)
    inner = first.relative_to(name).parent
    if labelled:
        raise ValueError(
            f"The folder {name!r} has folders within the sub-folders that are its labels, such as "
            f"{inner.as_posix()!r}. Give the folder directly above the labels, for example "
            f"{(Path(name) / inner.parts[0]).as_posix()!r}, or pass {recursive} to read them under the name of the "
            "sub-folder."
        )
    if is_all:
        raise ValueError(f"The folder {name!r} holds only folders. Pass {recursive} to read the files in them.")
    messages().warn(f"{name}: {n_files:,} files in sub-folders are not read. Pass {recursive} to read them.")


def _read_documents(root, paths, encoding, errors, labelled):
    guessed = []
    for number, path in enumerate(paths, 1):
        file = TextFile(path, encoding, errors)
        parts = path.relative_to(root).parts
        row = ["/".join(parts), file.read()]
        if file.is_detected:
            guessed.append(file)
        yield number, [*row, parts[0] if len(parts) > 1 else None] if labelled else row
    if len(guessed) > 1:
        messages().warn(f"{root}: {len(guessed):,} of {len(paths):,} files are not UTF-8. The first of them:")
    if guessed:
        guessed[0].report_encoding()
