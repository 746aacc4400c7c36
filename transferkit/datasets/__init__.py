"""Texts and labels from files, and a corpus that needs no download.

- `load_corpus` reads unlabelled texts, `load_labelled_csv` texts and labels, and `read_texts`, which the command line
  uses for `predict`, texts and other columns of a file or stream.
- `files` determines the kind of a file by its extension, opens paths and URLs, and splits texts into lines: bytes are
  decoded in chunks (`_encodings`), which also detects the encoding; errors give the position of an invalid byte.
- Rows (`_rows`): what any kind of table is read into, one row after the other: text with separators (`_delimited`),
  JSON (`_json`), Excel and Parquet (`_workbooks`), or a folder of documents (`_folders`).
- Table (`_tables`): the columns of texts, labels and others among these rows; `_columns` guesses which they are.
- Checks (`_checks`): what looks wrong in texts and labels, counted.
- `messages`: how all of these name their options and report what they found, in Python and on the command line.
- `load_docstrings` returns the docstrings of installed packages.
"""

from transferkit.datasets._docstrings import load_docstrings
from transferkit.datasets._loaders import load_corpus, load_labelled_csv, read_texts

__all__ = ["load_corpus", "load_docstrings", "load_labelled_csv", "read_texts"]
