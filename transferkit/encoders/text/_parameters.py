"""The text parameters that encoders share with scikit-learn's vectorizers."""

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral, Real

from sklearn.feature_extraction.text import CountVectorizer

from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    skip_check_of_stop_words,
    warn_for_unused_text_parameters,
)
from transferkit._warnings import count_inner_frames

__all__ = [
    "DEFAULT_TOKEN_PATTERN",
    "TEXT_PARAMETER_CONSTRAINTS",
    "make_vectorizer",
    "warn_for_device",
    "warn_for_parameters",
]

# Shared by all encoders that count terms.
TEXT_PARAMETER_CONSTRAINTS = {
    "strip_accents": [StrOptions({"ascii", "unicode"}), None, callable],
    "lowercase": ["boolean"],
    "preprocessor": [callable, None],
    "tokenizer": [callable, None],
    "analyzer": [StrOptions({"word", "char", "char_wb"}), callable],
    "stop_words": [StrOptions({"english"}), list, None],
    "token_pattern": [str, None],
    "ngram_range": [tuple],
    "max_df": [Interval(Real, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
    "min_df": [Interval(Real, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
    "max_features": [Interval(Integral, 1, None, closed="left"), None],
    "vocabulary": ["array-like", dict, set, HasMethods("keys"), None],
    "binary": ["boolean"],
    "norm": [StrOptions({"l1", "l2"}), None],
    "use_idf": ["boolean"],
    "smooth_idf": ["boolean"],
    "sublinear_tf": ["boolean"],
    "stemmer": [str, callable, None],
    "max_vocabulary": [Interval(Integral, 2, None, closed="left"), None],
    "n_jobs": [Integral, None],
}
DEFAULT_TOKEN_PATTERN = r"(?u)\b\w\w+\b"
_SHOWN = 60  # characters of a text or value that a message quotes


def make_vectorizer(encoder) -> CountVectorizer:
    """Return scikit-learn's vectorizer with the encoder's parameters, whose results are checked."""
    vectorizer = CountVectorizer()
    names = vectorizer.get_params()
    parameters = {name: value for name, value in encoder.get_params(deep=False).items() if name in names}
    vectorizer.set_params(**_guard_functions(parameters))
    skip_check_of_stop_words(vectorizer)  # `warn_for_parameters` checks them, once
    return vectorizer


def _guard_functions(parameters: dict) -> dict:
    """Return the parameters with every function of the user in a wrapper that checks its results.

    Analyzers and tokenizers may return any iterable of str, such as a generator: the wrapper returns a list. Wrappers
    can be pickled where the functions can.
    """
    wrappers = {"analyzer": _list_terms, "tokenizer": _list_terms}
    if parameters.get("tokenizer") is None:  # the user's tokenizer may take whatever the user's preprocessor returns
        wrappers |= {"preprocessor": _make_text, "strip_accents": _make_text}
    return {
        name: partial(wrappers[name], function=value, name=name) if name in wrappers and callable(value) else value
        for name, value in parameters.items()
    }


def _list_terms(text: object, *, function: Callable[[object], Iterable[str]], name: str) -> list[str]:
    found = function(text)
    try:
        terms = iter(found)
    except TypeError:
        raise TypeError(
            f"The {name!r} must turn a text into a list, or another iterable, of str. "
            f"Got {_describe(found)} for the text {_quote(text)}."
        ) from None
    listed = list(terms)
    for term in listed:
        if not isinstance(term, str):
            raise TypeError(
                f"The {name!r} must return terms that are str. Got {_describe(term)} for the text {_quote(text)}."
            )
    return listed


def _make_text(text: object, *, function: Callable[[object], str], name: str) -> str:
    made = function(text)
    if not isinstance(made, str):
        raise TypeError(f"The {name!r} must turn a text into a str. Got {_describe(made)} for the text {_quote(text)}.")
    return made


def _describe(value: object) -> str:
    return f"{_quote(value)} ({type(value).__name__})"


def _quote(value: object) -> str:
    quoted = repr(value)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}..."


def warn_for_device(encoder) -> None:
    """Warn that an encoder's `device` has no effect; None, its default until 0.1, is in models saved before."""
    if encoder.device not in ("deprecated", None):
        warnings.warn(
            f"The 'device' parameter of {type(encoder).__name__} has no effect and will be removed: texts are counted "
            f"on the CPU. Got device={encoder.device!r}. Leave it out, and set n_jobs to use more cores.",
            FutureWarning,
            stacklevel=count_inner_frames(),
        )


def warn_for_parameters(vectorizer: CountVectorizer) -> None:
    """Warn of parameters without effect, as scikit-learn does, and of stop words that the tokenizer changes."""
    warn_for_unused_text_parameters(vectorizer)
    stop_words = vectorizer.get_stop_words() if vectorizer.analyzer == "word" else None
    if not stop_words:
        return
    preprocess, tokenize = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    try:
        made = {token for word in stop_words for token in tokenize(preprocess(word))}
    except Exception:  # the user's functions may accept only whole texts
        return
    if missing := sorted(made - set(stop_words)):
        warnings.warn(
            "Some stop words stay in the texts: the preprocessor and tokenizer turn them into words that are not in "
            f"'stop_words', such as {missing[:5]}. Add these, or give stop words as the tokenizer returns them.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
