"""The parameters by which an encoder splits texts, for another encoder that should split them in the same way."""

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from transferkit.encoders._pretrained import PretrainedEncoder

__all__ = ["find_text_settings"]

_NORMALISATION = ("strip_accents", "lowercase", "preprocessor")


def find_text_settings(encoder):
    """Return the parameters by which an encoder normalises texts and splits them into words or characters.

    Another encoder with these parameters splits texts in the same way.

    Parameters
    ----------
    encoder : transformer or None
        A text encoder, or a PretrainedEncoder, Pipeline or FeatureUnion that holds one; the first one counts.

    Returns
    -------
    settings : dict
        Parameters of :class:`TfidfEncoder`, without those that it would ignore; empty if there is no text encoder.
    """
    params = next(_list_text_params(encoder), None)
    if params is None:
        return {}
    analyzer = params["analyzer"]
    if callable(analyzer):
        return {"analyzer": analyzer}
    settings = {name: params[name] for name in _NORMALISATION}
    if analyzer != "word":
        return {**settings, "analyzer": analyzer, "ngram_range": params["ngram_range"]}
    tokenizer = params["tokenizer"]
    return {**settings, "tokenizer": tokenizer, "token_pattern": params["token_pattern"] if tokenizer is None else None}


def _list_text_params(encoder):
    if isinstance(encoder, PretrainedEncoder):
        yield from _list_text_params(encoder.encoder_)
    elif isinstance(encoder, (Pipeline, FeatureUnion)):
        for _, part in encoder.steps if isinstance(encoder, Pipeline) else encoder.transformer_list:
            yield from _list_text_params(part)
    elif hasattr(encoder, "token_pattern") and hasattr(encoder, "get_params"):
        yield {**CountVectorizer().get_params(), **encoder.get_params(deep=False)}  # others may have fewer
