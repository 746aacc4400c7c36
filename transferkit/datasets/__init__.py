"""Small loaders: text that is on every machine, labelled tables, plain corpora."""

from transferkit.datasets._docstrings import load_docstrings
from transferkit.datasets._loaders import load_corpus, load_labelled_csv

__all__ = ["load_corpus", "load_docstrings", "load_labelled_csv"]
