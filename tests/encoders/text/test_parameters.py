# ruff: noqa: RUF001 (letters that look like others are the point)
"""Warnings in fit about words that the default pattern does not find, and later about batches without a known term."""

import unicodedata
import warnings

import numpy as np
import pytest
from sklearn.base import clone

from transferkit import LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.encoders.text import _analyzer
from transferkit.encoders.text._parameters import find_problem

SCRIPTS = {
    "Chinese": (["我喜欢这本书，非常好看", "这部电影很好看", "今天天气很好"], "phrases"),
    "Japanese": (["私は本を読みます", "この映画はとても面白い"], "phrases"),
    "Chinese, words apart": (["我 喜欢 这 本 书", "这 部 电影 很 好看", "天气 很 好"], "letters"),
    "Chinese, few of one sign": (["我 喜欢 电影 这本 好看 很 天气"], "letters"),
    "Chinese and English": (["这部电影很好看 and quite good"], "phrases"),
    "Thai": (["ฉันชอบหนังสือเล่มนี้", "ภาพยนตร์เรื่องนี้ดีมาก"], "marks"),
    "Hindi": (["मुझे यह किताब पसंद है", "यह फिल्म बहुत अच्छी है"], "marks"),
    "Telugu": (["నాకు ఈ పుస్తకం నచ్చింది", "ఈ సినిమా చాలా బాగుంది"], "marks"),
    "vowelled Arabic": (["أَنَا أُحِبُّ هَذَا الكِتَابَ", "هَذَا الفِيلْمُ جَيِّدٌ"], "marks"),
    "decomposed French": ([unicodedata.normalize("NFD", "une fenêtre ouverte à côté de l'été")] * 2, "marks"),
    "one-letter words": (["x y word", "a b word"], "letters"),
    "Arabic": (["انا احب هذا الكتاب", "هذا الفيلم جيد جدا"], None),
    "Korean": (["나는 이 책을 좋아한다", "이 영화는 아주 좋다"], None),
    "Russian": (["и я в доме с ним и его книгой", "мне очень нравится эта книга, а он её не читал"], None),
    "French": (["une fenêtre ouverte à côté de l'été"] * 2, None),
    "English": (["I have a cat", "a dog is a dog, says 中文 once in a while, and İstanbul"], None),
    "half of few words": (["a cow", "a bond"], None),
    "one marked word": (["हिन्दी is spoken"], None),
    "emoji": (["a good film 👍 ❤️", "a bad film 👎🏽"], None),
    "short Chinese words": (["北京", "上海"], None),
}
ADVICE = {
    "phrases": "Set tokenizer=",
    "letters": r"Set token_pattern=r'\(\?u\)",
    "marks": r"Set token_pattern=r'\\S\+'",
}
ENCODERS = [TfidfEncoder(), LSAEncoder(2, min_df=1), WordVectorEncoder(3, min_count=1)]
encoders = pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: type(encoder).__name__)
ALONE = pytest.mark.filterwarnings("ignore:.*have vectors of zeros:UserWarning")


@pytest.mark.parametrize("name", SCRIPTS)
def test_problems_of_words_are_found(name):
    texts, kind = SCRIPTS[name]
    problem = find_problem(texts)
    assert (problem and problem.kind) == kind
    assert problem is None or problem.example in "\n".join(texts)


def test_few_words_of_another_script_are_no_problem():
    texts = ["the words of a text in English, with one or two of another"] * 9
    for name in ("Chinese", "Hindi"):
        assert find_problem([*texts, SCRIPTS[name][0][1]]) is None


@ALONE
@encoders
@pytest.mark.parametrize("name", [name for name, (_, kind) in SCRIPTS.items() if kind])
@pytest.mark.parametrize("method", ["fit", "fit_transform", "partial_fit"])
def test_fit_warns_once_and_says_what_to_set(encoder, name, method):
    texts, kind = SCRIPTS[name]
    with pytest.warns(UserWarning, match=ADVICE[kind]) as seen:
        getattr(clone(encoder), method)(texts)
    about_words = [warning for warning in seen if "of these texts" in str(warning.message)]
    assert len(about_words) == 1
    assert about_words[0].filename == __file__
    assert ("analyzer=" in str(about_words[0].message)) == hasattr(encoder, "analyzer")


@ALONE
@encoders
@pytest.mark.parametrize("name", [name for name, (_, kind) in SCRIPTS.items() if kind])
def test_what_the_warning_says_ends_it(encoder, name):
    texts, kind = SCRIPTS[name]
    pattern = {"phrases": r"\w", "letters": r"(?u)\b\w+\b", "marks": r"\S+"}[kind]
    fitted = clone(encoder).set_params(token_pattern=pattern).fit(texts)
    assert fitted.transform(texts[:1]).shape[0] == 1
    clone(encoder).set_params(tokenizer=list, token_pattern=None).fit(texts)
    if hasattr(encoder, "analyzer"):
        clone(encoder).set_params(analyzer="char_wb", ngram_range=(1, 3)).fit(texts)


@encoders
@pytest.mark.parametrize("name", ["Russian", "English", "Arabic", "emoji"])
def test_languages_that_the_pattern_is_made_for_are_not_warned_of(encoder, name):
    texts = SCRIPTS[name][0]
    assert clone(encoder).fit(texts).transform(texts).shape[0] == len(texts)


def test_prepared_texts_are_looked_at_and_not_those_before():
    hindi, chinese = SCRIPTS["Hindi"][0], SCRIPTS["Chinese"][0]
    TfidfEncoder(preprocessor=lambda text: " ".join(text[k : k + 2] for k in range(0, len(text), 2))).fit(chinese)
    TfidfEncoder(strip_accents="unicode").fit(SCRIPTS["decomposed French"][0])
    with pytest.warns(UserWarning, match="hold combining marks"):
        TfidfEncoder(preprocessor=str.strip).fit(hindi)


def test_only_the_first_batch_is_warned_of():
    texts, _ = SCRIPTS["Hindi"]
    for encoder in (TfidfEncoder(), WordVectorEncoder(2, min_count=1)):
        with pytest.warns(UserWarning, match="hold combining marks"):
            encoder.partial_fit(texts)
        encoder.partial_fit(texts)


def test_every_block_of_a_stream_is_sampled(monkeypatch):
    monkeypatch.setattr(_analyzer, "_BLOCK_SIZE", dict.fromkeys(_analyzer._BLOCK_SIZE, 300))
    texts = ["the first texts are in English"] * 30 + SCRIPTS["Hindi"][0] * 30
    with pytest.warns(UserWarning, match="hold combining marks"):
        TfidfEncoder().fit(iter(texts))


EMPTY = {
    "All texts are blank": ["", "  \n"],
    r"one letter \(as 'a'\)": ["a b", "b c"],
    r"one letter \(as '我'\).*Set token_pattern": ["我 好", "书 好"],
    r"no letters or digits, but for example '👍'. Set token_pattern=r'\\S\+'": ["👍", "❤️ 👎🏽"],
}


@encoders
@pytest.mark.parametrize("message", EMPTY)
def test_empty_vocabulary_names_the_likely_cause(encoder, message):
    with pytest.raises(ValueError, match=f"empty vocabulary: no term was found in the texts.*{message}"):
        clone(encoder).fit(EMPTY[message])


def test_empty_vocabulary_names_stop_words_functions_and_lengths():
    for parameters, texts, message in [
        ({"stop_words": "english"}, ["the and of"], "nothing but stop words"),
        ({"tokenizer": lambda text: [], "token_pattern": None}, ["aa"], "'tokenizer' and .* such as 'aa'"),
        ({"token_pattern": "z"}, ["aa"], "'token_pattern' and 'ngram_range' find terms in texts such as 'aa'"),
        ({"analyzer": "char", "ngram_range": (5, 5)}, ["aa"], "'analyzer' and 'ngram_range' find terms"),
        ({"ngram_range": (3, 3)}, ["aa bb"], "check 'ngram_range'"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"empty vocabulary.*{message}"):
            TfidfEncoder(**parameters).fit(texts)
    with pytest.raises(ValueError, match=r"empty vocabulary.* two or more letters"):
        TfidfEncoder().partial_fit(["."]).transform(["a"])  # its texts are no longer available


@encoders
def test_batches_without_a_known_term_are_warned_of(encoder):
    fitted = clone(encoder).fit(["rows of a matrix", "rows of a vector"])
    message = f"No text of this batch holds a term that the {type(encoder).__name__} knows"
    for texts in (["zzz", "yyy", "xxx"], ["zzz", "", "yyy", "xxx"], ["zzz", "yyy"] * 20, iter(["zzz", "yyy", "xxx"])):
        with pytest.warns(UserWarning, match=message) as seen:
            rows = fitted.transform(texts)
        assert not (rows if isinstance(rows, np.ndarray) else rows.toarray()).any()
        assert len(seen) == 1
        assert seen[0].filename == __file__
    with warnings.catch_warnings(action="error"):
        for texts in (
            ["zzz"],
            ["zzz", "yyy", "", " \n"],
            ["", ""] * 20,
            ["zzz", "yyy", "rows"],
            ["zzz"] * 30 + ["rows"],
        ):
            fitted.transform(texts)


def test_words_known_by_their_spelling_are_known():
    encoder = WordVectorEncoder(3, min_count=1, subword=True).fit(["rows of a matrix", "rows of a vector"])
    assert encoder.transform(["matrixes", "vectors"]).any()
    with pytest.warns(UserWarning, match="No text of this batch"):
        encoder.transform(["zzzz", "yyyy", "xxxx"])


def test_texts_of_one_word_are_warned_of():
    message = r"3 of 3 words have vectors of zeros.*texts of one word give none"
    with pytest.warns(UserWarning, match=message):
        encoder = WordVectorEncoder(3, min_count=1).fit(["cat", "dog", "bird"])
    assert not encoder.vectors_.any()
    with pytest.warns(UserWarning, match=message):
        WordVectorEncoder(3, min_count=1).partial_fit(["cat", "dog", "bird"]).vectors_  # noqa: B018
    WordVectorEncoder(3, min_count=1).fit(["cat", "a dog and a bird"])
