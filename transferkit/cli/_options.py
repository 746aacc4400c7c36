"""What several commands share: their options, and the encoders that these describe."""

import functools
import re
import shlex
import warnings
from pathlib import Path

import click

import transferkit
from transferkit.datasets.messages import Messages, addressed_by
from transferkit.persistence import load_shared

__all__ = [
    "as_json",
    "check_encoder",
    "label_column",
    "load_teacher",
    "make_encoder",
    "make_scratch_encoder",
    "quiet",
    "reading",
    "splitting",
    "trusted",
]

quiet = click.option("--quiet", "-q", is_flag=True, help="Do not print progress or a summary.")
label_column = click.option(
    "--label-column", help="Column or key of the labels.  [default: label, or the only one that can be meant]"
)
trusted = click.option(
    "--trusted",
    multiple=True,
    metavar="NAME",
    help="Class, function or sentence model that the model file may use; repeatable.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_LONGEST_CHARACTER_NGRAM = 3
_OPTION_OF = {"text": "--text-column", "label": "--label-column", "errors": "--encoding-errors"}


class _CommandLine(Messages):
    """The words of the command line for what the loaders say: options, and lines on stderr."""

    def __init__(self, quiet):
        self.quiet = quiet

    def option(self, name, value):
        """Return an option with its value."""
        if isinstance(value, bool):
            return f"--{'' if value else 'no-'}{name}"
        return f"{_OPTION_OF.get(name, f'--{name}')} {shlex.quote(str(value))}"

    def note(self, message):
        """Print what was detected, unless --quiet."""
        if not self.quiet:
            self.warn(message)

    def warn(self, message):
        """Print what was guessed or looks wrong."""
        click.echo(message, err=True)


def reading(command):
    """Add the options for reading a table or corpus, which the command receives as one dict named `reading`.

    It contains the parameters common to `load_corpus`, `load_labelled_csv` and `read_texts`.
    """

    @click.option(
        "--text-column", help="Column or key of the texts.  [default: text, or the only one that looks like texts]"
    )
    @click.option("--encoding", metavar="NAME", help="Encoding of the texts, such as latin-1.  [default: detected]")
    @click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "replace", "ignore"]),
        default="strict",
        show_default=True,
        help="How to handle bytes that are invalid in this encoding; otherwise than strict, it is UTF-8 by default.",
    )
    @click.option(
        "--sep",
        metavar="CHARACTER",
        help="Separator of the fields of a table, such as ';' or tab.  [default: detected]",
    )
    @click.option(
        "--quoting/--no-quoting",
        default=None,
        help="Whether double quotes enclose fields of a table.  [default: except in .tsv files]",
    )
    @click.option("--recursive", is_flag=True, help="Of a folder of texts, read the sub-folders too.")
    @functools.wraps(command)
    def wrapped(*args, text_column, encoding, encoding_errors, sep, quoting, recursive, **kwargs):
        options = {"text": text_column, "encoding": encoding, "errors": encoding_errors, "sep": sep}
        with addressed_by(_CommandLine(kwargs.get("quiet", False))):
            return command(*args, reading={**options, "quoting": quoting, "recursive": recursive}, **kwargs)

    return wrapped


def splitting(command):
    """Add the options for splitting texts into terms, which the command receives as one dict named `splitting`.

    It contains parameters of `make_encoder`.
    """

    @click.option(
        "--analyzer",
        type=click.Choice(["word", "char", "char_wb"]),
        default="word",
        show_default=True,
        help="Terms are words, character n-grams, or character n-grams within words.",
    )
    @click.option(
        "--token-pattern",
        metavar="REGEX",
        help="Regular expression of a word.  [default: two or more letters or digits]",
    )
    @functools.wraps(command)
    def wrapped(*args, analyzer, token_pattern, **kwargs):
        return command(*args, splitting={"analyzer": analyzer, "token_pattern": token_pattern}, **kwargs)

    return wrapped


def make_encoder(
    name="vectors", n_components=256, min_df=2, max_ngram=None, seed=0, analyzer="word", token_pattern=None
):
    """Return the unfitted encoder with the given name: word vectors, TF-IDF, LSA, or TF-IDF and LSA concatenated.

    For word vectors `min_df` is the minimum number of occurrences. `max_ngram` is by default 1 for words and 3 for
    characters, `token_pattern` that of the encoders. ValueError is raised if word vectors are requested for anything
    other than single words, and for a pattern that is not a regular expression, matches the empty text, or is combined
    with character n-grams.
    """
    from sklearn.pipeline import make_union

    splitting = _make_text_parameters(analyzer, token_pattern, max_ngram)
    if name == "vectors":
        if analyzer != "word":
            raise ValueError(
                f"Word vectors need words: --analyzer {analyzer} needs --encoder lsa, tfidf or tfidf+lsa. For one "
                r"word per character use --token-pattern '\w'."
            )
        if splitting.pop("ngram_range")[1] != 1:
            raise ValueError("Word vectors need single words: --max-ngram needs --encoder lsa or tfidf.")
        return transferkit.WordVectorEncoder(n_components, min_count=min_df, random_state=seed, **splitting)
    terms = {"min_df": min_df, "sublinear_tf": True, **splitting}
    encoders = {
        "tfidf": transferkit.TfidfEncoder(**terms),
        "lsa": transferkit.LSAEncoder(n_components, random_state=seed, **terms),
    }
    parts = [encoders[part] for part in name.split("+")]
    return make_union(*parts) if len(parts) > 1 else parts[0]


def make_scratch_encoder(encoder, strategy, analyzer="word", token_pattern=None):
    """Return the encoder for `TransferClassifier`: the given one, or for "scratch" one that splits texts as requested.

    The latter is an unfitted TfidfEncoder if `analyzer` or `token_pattern` differs from the default, otherwise None.
    ValueError is raised if the options would split texts differently than a pretrained encoder, or if the pattern is
    not valid.
    """
    if analyzer == "word" and token_pattern is None:
        return encoder
    if encoder is not None or strategy != "scratch":
        raise ValueError(
            "--analyzer and --token-pattern are for --strategy scratch without --encoder: a pretrained encoder splits "
            "texts as in pretraining. Pass them to transferkit pretrain."
        )
    return transferkit.TfidfEncoder(**_make_text_parameters(analyzer, token_pattern))


def check_encoder(path, trusted=()):
    """Raise ModelFileError if there is no such encoder, and ValueError if the file holds a model that predicts."""
    if not Path(path).exists():  # "english", or an error that says what to do
        transferkit.PretrainedEncoder(path).fit()
        return
    model = load_shared(path, trusted or None)
    if not hasattr(model, "transform"):
        raise ValueError(
            f"--encoder {path}: the file holds a {type(model).__name__}, which predicts and does not encode. Give the "
            "file of an encoder; to start from a model that predicts, use finetune --source."
        )


def load_teacher(name, trusted=()):
    """Return an encoder of texts: the one in a model file, or the sentence model of a name or folder.

    It encodes a text, so that a missing package or model is an error before hours of work. ValueError is raised if the
    file holds no encoder.
    """
    if not Path(name).is_file() and Path(name).suffix != ".tk":
        teacher = transferkit.SentenceEncoder(name)
    else:
        teacher = transferkit.load(name, trusted=trusted)
        if not hasattr(teacher, "transform"):
            raise ValueError(
                f"--teacher {name}: the file holds a {type(teacher).__name__}, which predicts and does not encode. "
                "Give the file of an encoder."
            )
    with warnings.catch_warnings(action="ignore"):  # the words of this text may be unknown
        teacher.transform(["a text"])
    return teacher


def _make_text_parameters(analyzer="word", token_pattern=None, max_ngram=None):
    """Return the parameters that determine how an encoder splits texts into terms."""
    if analyzer != "word":
        if token_pattern is not None:
            raise ValueError(
                f"--token-pattern defines words, but --analyzer {analyzer} uses character n-grams: omit one of them."
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
        raise ValueError(f"--token-pattern {pattern!r} has {compiled.groups} groups; it may have one: use (?:...).")
    if compiled.fullmatch(""):
        raise ValueError(f"--token-pattern {pattern!r} matches the empty text: a word needs at least one character.")
    return pattern
