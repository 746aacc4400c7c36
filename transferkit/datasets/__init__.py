"""Texts and labels from files, and a corpus that needs no download.

- `load_corpus` reads unlabelled texts, `load_labelled_csv` texts and labels, and `read_texts`, which both the first and
  the command line use, texts and other columns of a file or stream.
- `files` determines the kind of a file by its extension, opens paths and URLs, and splits texts into lines: bytes are
  decoded in chunks, and errors give the position of an invalid byte.
- Table (`_tables`): CSV, TSV and JSON lines as rows with their line numbers.
- `load_docstrings` returns the docstrings of installed packages.
"""

from transferkit.datasets._docstrings import load_docstrings
from transferkit.datasets._loaders import load_corpus, load_labelled_csv, read_texts

__all__ = ["load_corpus", "load_docstrings", "load_labelled_csv", "read_texts"]
