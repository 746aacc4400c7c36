"""The terms of a TF-IDF encoder in a model file: packed when it is saved, and unpacked when they are asked for."""

from weakref import WeakKeyDictionary

import numpy as np

from transferkit._algorithms.text.packed_terms import PackedTerms, pack_terms, unpack_terms, widen
from transferkit._algorithms.text.tfidf import weigh_columns
from transferkit._algorithms.text.vocabulary import Vocabulary
from transferkit.encoders.text._analysis import choose_unit

# The fields of a Vocabulary, as attributes that a model file can hold.
TERM_ARRAYS = (
    "_hashes",
    "_checks",
    "_document_frequency",
    "_total",
    "_term_text",
    "_term_starts",
    "_term_lengths",
)
LEFT_OUT_OF_FILES = (*TERM_ARRAYS, "_columns")
MOST_PACKED = 200_000  # terms; what each process makes of more of them would cost more than processes share
_unpacked: WeakKeyDictionary = WeakKeyDictionary()


def pack_state(encoder, state):
    """Return the state to write: up to `MOST_PACKED` terms in few bytes, and what follows from them left out."""
    packed = state.get("_packed")
    if packed is None and len(state["_columns"]) > MOST_PACKED:
        return state
    if packed is None:
        terms, columns = Vocabulary(*map(state.get, TERM_ARRAYS)), state["_columns"]
        packed = pack_terms(terms, columns)
        again, columns_again = unpack_terms(packed, choose_unit(encoder) == "word")
        if not all(map(np.array_equal, (*again[:4], columns_again), (*terms[:4], columns))):
            return state  # hashed in another way than the parameters say now
    state = {name: value for name, value in state.items() if name not in LEFT_OUT_OF_FILES}
    if np.array_equal(encoder._idf, _make_idf(encoder, packed)):  # some encoders have weights from elsewhere
        del state["_idf"]
    return state | {"_packed": tuple(packed)}


def complete_state(encoder):
    """Make what a file leaves out, and refuse columns that would send compiled code beyond the weights of a model."""
    if vars(encoder).get("_packed") is not None:
        encoder._packed = PackedTerms(*encoder._packed)
        encoder._packed.check()
        idf = _make_idf(encoder, encoder._packed)
        if vars(encoder).setdefault("_idf", idf).shape != idf.shape:
            raise ValueError("the arrays of terms do not fit each other")
        return
    columns, n_terms = encoder._columns, len(encoder._idf)
    per_term = [getattr(encoder, name) for name in TERM_ARRAYS if name != "_term_text"]
    if any(array.shape != columns.shape for array in per_term) or columns.ndim != 1 or columns.dtype != np.int32:
        raise ValueError("the arrays of terms do not fit each other")
    if len(columns) and not (columns.min() >= -1 and columns.max() < n_terms):
        raise ValueError("columns of terms out of range")


def unpack_array(encoder, name):
    """Return an array that was left out of the file, made once for each encoder."""
    if encoder not in _unpacked:  # not kept on the encoder, whose attributes name what it has learned
        terms, columns = unpack_terms(encoder._packed, choose_unit(encoder) == "word")
        _unpacked[encoder] = dict(zip(LEFT_OUT_OF_FILES, [*terms, columns], strict=True))
    return _unpacked[encoder][name]


def _make_idf(encoder, packed):
    frequency = widen(packed.document_frequency, packed.large_document_frequency)
    settings = {"use_idf": encoder.use_idf, "smooth": encoder.smooth_idf, "dtype": encoder._row_dtype}
    with np.errstate(divide="ignore"):  # terms given that are in no document
        return weigh_columns(frequency, packed.columns, encoder.n_documents_, **settings)
