"""The encoders that commands make, and how these split texts."""

import re

import transferkit

_LONGEST_CHARACTER_NGRAM = 3


def make_encoder(name="vectors", n_components=256, min_df=2, max_ngram=None, analyzer="word", token_pattern=None):
    """Return the unfitted encoder of that name.

    Parameters
    ----------
    name : {"vectors", "tfidf+lsa", "lsa", "tfidf"}, default="vectors"
        Word vectors; sparse terms, dense features, or both side by side.
    n_components : int, default=256
        Number of dense features.
    min_df : int, default=2
        Leave out terms in fewer texts; for vectors words that occur less often.
    max_ngram : int, default=None
        Longest n-gram of words, or of characters; by default 1 and 3.
    analyzer : {"word", "char", "char_wb"}, default="word"
        What terms are made of; vectors are of words.
    token_pattern : str, default=None
        Regular expression of a word; by default that of the encoders.

    Returns
    -------
    encoder : transformer
        Unfitted.

    Raises
    ------
    ValueError
        If word vectors are to be of something else than single words, or as `make_text_parameters` does.
    """
    from sklearn.pipeline import make_union

    splitting = make_text_parameters(analyzer, token_pattern, max_ngram)
    if name == "vectors":
        if analyzer != "word":
            raise ValueError(
                f"Word vectors are of words: --analyzer {analyzer} needs --encoder lsa, tfidf or tfidf+lsa. For one "
                r"word per character take --token-pattern '\w'."
            )
        if splitting.pop("ngram_range")[1] != 1:
            raise ValueError("Word vectors are of single words: --max-ngram needs --encoder lsa or tfidf.")
        return transferkit.WordVectorEncoder(n_components, min_count=min_df, **splitting)
    terms = {"min_df": min_df, "sublinear_tf": True, **splitting}
    encoders = {
        "tfidf": transferkit.TfidfEncoder(**terms),
        "lsa": transferkit.LSAEncoder(n_components, **terms),
    }
    parts = [encoders[part] for part in name.split("+")]
    return make_union(*parts) if len(parts) > 1 else parts[0]


def make_scratch_encoder(encoder, strategy, analyzer="word", token_pattern=None):
    """Return what `TransferClassifier` takes as encoder: the given one, or for "scratch" how texts are split.

    Parameters
    ----------
    encoder : PretrainedEncoder or None
        What was pretrained.
    strategy : str
        Strategy of the classifier.
    analyzer, token_pattern : str
        As in `make_encoder`.

    Returns
    -------
    encoder : transformer or None
        An unfitted TfidfEncoder where `analyzer` or `token_pattern` differs from the default; "scratch" splits texts as
        it says.

    Raises
    ------
    ValueError
        If texts are to be split otherwise than a pretrained encoder splits them, or as `make_text_parameters` does.
    """
    if analyzer == "word" and token_pattern is None:
        return encoder
    if encoder is not None or strategy != "scratch":
        raise ValueError(
            "--analyzer and --token-pattern are for --strategy scratch without --encoder: a pretrained encoder splits "
            "texts as those that it was pretrained on. Give them to transferkit pretrain."
        )
    return transferkit.TfidfEncoder(**make_text_parameters(analyzer, token_pattern))


def make_text_parameters(analyzer="word", token_pattern=None, max_ngram=None):
    """Return the parameters by which an encoder splits texts.

    Parameters
    ----------
    analyzer, token_pattern, max_ngram : str, str, int
        As in `make_encoder`.

    Returns
    -------
    parameters : dict
        Those that differ from the defaults of the encoders, and `ngram_range`.

    Raises
    ------
    ValueError
        If the pattern is no regular expression, matches the empty text, or comes with n-grams of characters.
    """
    if analyzer != "word":
        if token_pattern is not None:
            raise ValueError(
                f"--token-pattern says what a word is, and --analyzer {analyzer} takes n-grams of characters: leave "
                "out one of them."
            )
        return {"analyzer": analyzer, "ngram_range": (1, _LONGEST_CHARACTER_NGRAM if max_ngram is None else max_ngram)}
    ngrams = {"ngram_range": (1, 1 if max_ngram is None else max_ngram)}
    return ngrams if token_pattern is None else {"token_pattern": _check_pattern(token_pattern), **ngrams}


def _check_pattern(pattern):
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--token-pattern {pattern!r} is not a regular expression: {error}.") from None
    if compiled.groups > 1:
        raise ValueError(f"--token-pattern {pattern!r} has {compiled.groups} groups, and may have one: use (?:...).")
    if compiled.fullmatch(""):
        raise ValueError(f"--token-pattern {pattern!r} matches the empty text: a word has one character or more.")
    return pattern
