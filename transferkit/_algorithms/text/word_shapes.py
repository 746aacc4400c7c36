r"""How much of a text scikit-learn's default pattern of words, ``\b\w\w+\b``, misses or does not split."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

# Scripts that are written without spaces between words and, mostly, without combining marks: Han, Hiragana.
_UNSPACED = re.compile("[\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_PHRASE_LENGTH = 3.0  # mean characters of a word of these scripts, above which it is a phrase; words have 1.5 to 2.5
_UNSPACED_SHARE = 0.2  # of the characters of all words
_MARKED_SHARE = 0.1  # of words; fewer are loan words and names
_FEWEST_MARKED = 2
_SINGLE_SHARE = 0.5  # of words; running text in European languages has up to 0.2, "a cow" has half
_SINGLE_SHARE_UNSPACED = 0.25  # of words, where they are of an unspaced script; Chinese has 0.4

Problem = Literal["marks", "phrases", "letters"]


class WordProblem(NamedTuple):
    """What the pattern does not do to the words of some texts, and one of them.

    "marks": words hold combining marks, at which the pattern cuts them; "phrases": no spaces separate words;
    "letters": words have one letter, which the pattern leaves out.
    """

    kind: Problem
    example: str


def find_problem(texts: Iterable[str]) -> WordProblem | None:
    r"""Return what keeps ``\b\w\w+\b`` from finding the words of most of the texts, or None.

    Parameters
    ----------
    texts : iterable of str
        A sample of the texts.

    Returns
    -------
    problem : WordProblem or None
        The first that holds of: a tenth of the words (and at least two) hold combining marks; a fifth of the
        characters are in words of scripts without spaces whose mean length is that of phrases; more than half of the
        words (a quarter where they are of such scripts) have one letter.
    """
    words, marks = split_words(texts)
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


def split_words(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Return the words of the texts as their readers see them, combining marks included, and these marks."""
    joined = "\n".join(texts)
    if joined.isascii():
        return re.findall(r"\w+", joined), frozenset()
    marks = frozenset(c for c in set(joined) if not c.isascii() and unicodedata.category(c)[0] == "M")
    return re.findall(rf"\w[\w{''.join(sorted(marks))}]*", joined), marks
