"""Calls of the functions that users give to text encoders, and checks of what these return."""

from collections.abc import Callable, Iterable
from functools import partial

_SHOWN = 60  # characters of a text or value that a message quotes


def guard_functions(parameters: dict) -> dict:
    """Return text parameters with every function of the user's in a wrapper that checks its results.

    Analyzers and tokenizers may return any iterable of str, such as a generator: the wrapper returns a list.

    Parameters
    ----------
    parameters : dict
        Text parameters by name, as scikit-learn's CountVectorizer takes them.

    Returns
    -------
    guarded : dict
        The same, functions replaced. They can be pickled where the user's functions can.
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
