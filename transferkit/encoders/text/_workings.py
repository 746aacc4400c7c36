"""What a TF-IDF encoder makes of its parameters and state for speed."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from transferkit._algorithms.text.packed_terms import Spelling
from transferkit._algorithms.text.vocabulary import find_terms
from transferkit.encoders.text._analysis import TextAnalysis, make_analysis
from transferkit.encoders.text._short_texts import ShortTexts

# What workings are made from: when one of these is another object, they are made again.
_MADE_FROM = (
    "_columns",
    "_packed",
    "dtype",
    "input",
    "encoding",
    "decode_error",
    "strip_accents",
    "lowercase",
    "preprocessor",
    "tokenizer",
    "analyzer",
    "stop_words",
    "token_pattern",
    "ngram_range",
    "stemmer",
)


class Workings(NamedTuple):
    """The analysis of texts, and the faster way for a few short ones (None before `fit`)."""

    key: tuple
    analysis: TextAnalysis
    short_texts: ShortTexts | None


_known: WeakKeyDictionary = WeakKeyDictionary()  # not on the encoder: callables do not pickle


def find_workings(encoder) -> Workings:
    """Return the workings of an encoder, made when they are first needed."""
    key = tuple(map(vars(encoder).get, _MADE_FROM))
    workings = _known.get(encoder)
    if workings is None or any(a is not b for a, b in zip(workings.key, key, strict=True)):
        analysis, short_texts = make_analysis(encoder), None
        if "_idf" in vars(encoder):
            search = _choose_search(encoder, analysis)
            short_texts = ShortTexts(analysis, search, len(encoder._idf), encoder._row_dtype)
        workings = _known[encoder] = Workings(key, analysis, short_texts)
    return workings


def _choose_search(encoder, analysis):
    """Return the function that finds the columns of a few terms."""
    if vars(encoder).get("_packed") is not None:
        return Spelling(encoder._packed).find_columns
    hashes, checks, columns = encoder._hashes, encoder._checks, encoder._columns

    def find_columns(terms):
        places = find_terms(hashes, checks, *analysis.hash_terms(terms))
        return np.where(places >= 0, columns[places], -1).tolist()

    return find_columns
