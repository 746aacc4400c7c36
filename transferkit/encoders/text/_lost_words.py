"""Warnings and errors for texts of which a text encoder finds too little: no term, or not the words they have."""

import warnings
from collections.abc import Iterable

from transferkit._algorithms.text.word_shapes import WordProblem, find_problem, split_words
from transferkit._validation import count_inner_frames
from transferkit.encoders.text._analyzer import DEFAULT_TOKEN_PATTERN, TextSample, make_vectorizer

_MOST_PREPARED = 100  # texts on which a function of the user's is called once more
_SEVERAL = 3  # texts
_SHOWN = 30  # characters of a text that a message quotes

_CAUSES = {
    "marks": "The words of these texts hold combining marks (as in {example!r}), at which the default token_pattern "
    "cuts them into pieces.",
    "phrases": "The words of these texts are not separated by spaces (as in {example!r}), so that the default "
    "token_pattern takes whole phrases for words.",
    "letters": "Most words of these texts have one letter (as {example!r}), and the default token_pattern leaves "
    "such words out.",
}
_REMEDIES = {
    "marks": "Set token_pattern=r'\\S+' if spaces separate words, else tokenizer=... to a function that splits a text "
    "into words{or_characters}. strip_accents='unicode' removes accents that are written as marks.",
    "phrases": "Set tokenizer=... to a function that splits a text into words{or_characters}.",
    "letters": "Set token_pattern=r'(?u)\\b\\w+\\b' to keep them{or_characters}.",
}
_OR_CHARACTERS = ", or analyzer='char' or 'char_wb' with ngram_range=(1, 3) for pieces of words"
_OR_SINGLE_CHARACTERS = ", or token_pattern=r'\\w' for one word per character"


def warn_of_lost_words(encoder, sample: TextSample) -> None:
    """Warn when the default token_pattern does not find the words of most of the texts.

    Parameters
    ----------
    encoder : estimator
        Anything with the text parameters of :class:`TfidfEncoder`, or most of them.
    sample : TextSample
        Of the texts that it was fitted to.
    """
    problem = _find_problem(encoder, sample)
    if problem is not None:
        warnings.warn(_advise(encoder, problem), UserWarning, stacklevel=count_inner_frames())


def describe_empty_vocabulary(encoder, sample: TextSample | None) -> str:
    """Return the message of the error that no term was found, with its most likely cause.

    Parameters
    ----------
    encoder, sample
        As in :func:`warn_of_lost_words`; None for texts that are no longer there.
    """
    return f"empty vocabulary: no term was found in the texts. {_explain(encoder, sample)}"


def warn_of_unknown_texts(encoder, n_texts: int) -> None:
    """Warn when all of `_SEVERAL` texts or more, blank ones not counted, gave rows of zeros.

    One or two such texts are not unusual: a server is asked about one at a time, and folds of small searches are small.
    """
    if n_texts >= _SEVERAL:
        warnings.warn(
            f"No text of this batch holds a term that the {type(encoder).__name__} knows, so all its rows are zeros "
            "and predictions from them say nothing. Compare the texts with those of fit: their language, and how "
            "they were prepared and are split into words (token_pattern, tokenizer, lowercase).",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def count_texts(texts: Iterable) -> int:
    """Return the number of texts that are not blank."""
    return sum(bool(text.strip()) for text in texts)


def _finds_default_words(encoder) -> bool:
    is_default = encoder.tokenizer is None and encoder.token_pattern == DEFAULT_TOKEN_PATTERN
    return getattr(encoder, "analyzer", "word") == "word" and is_default


def _find_problem(encoder, sample: TextSample) -> WordProblem | None:
    if not _finds_default_words(encoder):
        return None
    texts = sample.texts
    problem = find_problem(texts)
    if problem is not None and (encoder.preprocessor is not None or encoder.strip_accents is not None):
        problem = find_problem(map(make_vectorizer(encoder).build_preprocessor(), texts[:_MOST_PREPARED]))
    return problem


def _advise(encoder, problem: WordProblem) -> str:
    or_characters = _OR_CHARACTERS if hasattr(encoder, "analyzer") else _OR_SINGLE_CHARACTERS
    cause = _CAUSES[problem.kind].format(example=problem.example[:_SHOWN])
    return f"{cause} {_REMEDIES[problem.kind].format(or_characters=or_characters)}"


def _explain(encoder, sample: TextSample | None) -> str:
    """Return the most likely cause, and what to do."""
    texts = [] if sample is None else [text for text in sample.texts if text.strip()]
    if sample is not None and not texts:
        return "All texts are blank."
    if not _finds_default_words(encoder):
        name = next(name for name in ("analyzer", "tokenizer", "token_pattern") if _is_set(encoder, name))
        quoted = f"texts such as {texts[0][:_SHOWN]!r}" if texts else "these texts"
        return f"Check that the '{name}' and 'ngram_range' find terms in {quoted}."
    if texts:
        problem = _find_problem(encoder, sample)
        if problem is not None:
            return _advise(encoder, problem)
        if not split_words(texts)[0]:
            or_characters = ", or analyzer='char'" if hasattr(encoder, "analyzer") else ""
            return (
                f"The texts hold no letters or digits, but for example {texts[0][:_SHOWN]!r}. Set "
                f"token_pattern=r'\\S+' to take all that spaces separate as words{or_characters}."
            )
    if encoder.stop_words is not None:
        return "Perhaps the texts hold nothing but stop words."
    return (
        "The default token_pattern takes words of two or more letters or digits. For texts of emoji, of one-letter "
        "words, or in scripts without spaces set token_pattern=..., tokenizer=... or another analyzer; and check "
        "'ngram_range'."
    )


def _is_set(encoder, name: str) -> bool:
    default = {"analyzer": "word", "tokenizer": None, "token_pattern": DEFAULT_TOKEN_PATTERN}[name]
    return getattr(encoder, name, default) != default
