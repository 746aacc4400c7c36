"""The text parameters of encoders: their constraints, and warnings and errors if they do not suit the texts."""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Literal, NamedTuple

from sklearn.feature_extraction.text import CountVectorizer

from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    warn_for_unused_text_parameters,
)
from transferkit.encoders.text._analyzer import DEFAULT_TOKEN_PATTERN, TextSample, make_vectorizer
from transferkit.exceptions import count_inner_frames

__all__ = [
    "TEXT_PARAMETER_CONSTRAINTS",
    "count_texts",
    "describe_empty_vocabulary",
    "find_problem",
    "warn_for_device",
    "warn_for_parameters",
    "warn_of_lost_words",
    "warn_of_unknown_texts",
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
# Scripts that are written without spaces between words and, mostly, without combining marks: Han, Hiragana.
_UNSPACED = re.compile("[\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_PHRASE_LENGTH = 3.0  # mean characters of a word of these scripts, above which it is a phrase; words have 1.5 to 2.5
_UNSPACED_SHARE = 0.2  # of the characters of all words
_MARKED_SHARE = 0.1  # of words; fewer are loan words and names
_FEWEST_MARKED = 2
_SINGLE_SHARE = 0.5  # of words; running text in European languages has up to 0.2, "a cow" has half
_SINGLE_SHARE_UNSPACED = 0.25  # of words, if they are of an unspaced script; Chinese has 0.4
_MOST_PREPARED = 100  # texts for which the user's preprocessor is called a second time
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
Problem = Literal["marks", "phrases", "letters"]


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


class WordProblem(NamedTuple):
    """Why the default pattern does not find the words of some texts, with one of these words as an example.

    "marks": words hold combining marks, at which the pattern cuts them; "phrases": no spaces separate words;
    "letters": words have one letter, and the pattern leaves such words out.
    """

    kind: Problem
    example: str


def warn_of_lost_words(encoder, sample: TextSample) -> None:
    """Warn when the default token_pattern does not find the words of most of the texts of a sample."""
    problem = _find_problem(encoder, sample)
    if problem is not None:
        warnings.warn(_advise(encoder, problem), UserWarning, stacklevel=count_inner_frames())


def describe_empty_vocabulary(encoder, sample: TextSample | None) -> str:
    """Return the error message for texts in which no term was found, with the most likely cause.

    The sample is None if the texts are no longer available.
    """
    return f"empty vocabulary: no term was found in the texts. {_explain(encoder, sample)}"


def warn_of_unknown_texts(encoder, n_texts: int) -> None:
    """Warn when all of `_SEVERAL` texts or more, blank ones not counted, gave rows of zeros.

    One or two such texts are not unusual: a server encodes one at a time, and folds of small data sets are small.
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
        if not _split_words(texts)[0]:
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


def find_problem(texts: Iterable[str]) -> WordProblem | None:
    r"""Return why ``\b\w\w+\b`` does not find the words of most of the texts, or None if it does.

    It is the first of these that applies: a tenth of the words (and at least two) hold combining marks; a fifth of the
    characters are in words of scripts without spaces whose mean length is that of phrases; more than half of the words
    have one letter, or a quarter of the words are one letter of such a script.
    """
    words, marks = _split_words(texts)
    if not words:
        return None
    marked = [word for word in words if not marks.isdisjoint(word)] if marks else []
    if len(marked) >= max(_FEWEST_MARKED, _MARKED_SHARE * len(words)):
        return WordProblem("marks", marked[0])
    unspaced = [word for word in words if not word.isascii() and _UNSPACED.search(word)]
    n_characters = sum(map(len, unspaced))
    if n_characters >= _UNSPACED_SHARE * sum(map(len, words)) and n_characters >= _PHRASE_LENGTH * len(unspaced) > 0:
        return WordProblem("phrases", max(unspaced, key=len))
    single = [word for word in words if len(word) == 1]
    single_unspaced = [word for word in single if _UNSPACED.match(word)]
    if len(single_unspaced) >= max(1, _SINGLE_SHARE_UNSPACED * len(words)):
        return WordProblem("letters", single_unspaced[0])
    return WordProblem("letters", single[0]) if len(single) > _SINGLE_SHARE * len(words) else None


def _split_words(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Return the words of the texts, combining marks included, and the set of these marks."""
    joined = "\n".join(texts)
    if joined.isascii():
        return re.findall(r"\w+", joined), frozenset()
    marks = frozenset(c for c in set(joined) if not c.isascii() and unicodedata.category(c)[0] == "M")
    return re.findall(rf"\w[\w{''.join(sorted(marks))}]*", joined), marks
