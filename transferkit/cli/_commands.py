"""The commands: those that train, serve and demo are here, the others in modules by subject."""

import time
from pathlib import Path

import click
import numpy as np

import transferkit
from transferkit.cli import _options
from transferkit.cli._evaluation import check_folds, check_number_of_folds, describe_folds, predict_folds
from transferkit.cli._evidence import evidence
from transferkit.cli._options import check_encoder, load_teacher, make_encoder, make_scratch_encoder
from transferkit.cli._output import check_model_output, check_writable, describe_vocabulary, megabytes, say, write_csv
from transferkit.cli._progress import CandidateReport, StepReport, show_progress
from transferkit.cli._rejection import rejection
from transferkit.cli._text_models import load_text_model
from transferkit.cli.commands import _evaluate, _explain, _files, _predict
from transferkit.cli.commands._files import read_key
from transferkit.datasets.files import kind_of

__all__ = ["commands"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(transferkit.__version__, prog_name="transferkit")
def commands():
    """Pretrain once on unlabelled texts, fine-tune many small tasks, serve them anywhere."""


@commands.command()
@click.argument("corpora", nargs=-1, required=True, metavar="CORPUS...")
@click.option("--output", "-o", required=True, help="Model file to write, for example encoder.tk.")
@click.option(
    "--encoder", type=click.Choice(["vectors", "tfidf+lsa", "lsa", "tfidf"]), default="vectors", show_default=True
)
@click.option(
    "--n-components",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Dimension of word vectors, number of LSA features.",
)
@click.option(
    "--min-df", type=click.IntRange(min=1), default=2, show_default=True, help="Ignore terms that occur in fewer texts."
)
@click.option(
    "--max-ngram",
    type=click.IntRange(min=1),
    help="Longest n-gram used as a term (not for vectors).  [default: 1, for characters 3]",
)
@click.option(
    "--teacher",
    metavar="NAME",
    help="Model file of an encoder, or name or folder of a sentence-transformers model: it encodes the texts, and "
    "word vectors learned from its embeddings, rare words included, are put beside those of --encoder vectors.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of random numbers.")
@_options.splitting
@_options.reading
@_options.quiet
@_options.trusted
def pretrain(
    corpora, output, encoder, n_components, min_df, max_ngram, teacher, seed, splitting, reading, quiet, trusted
):
    """Pretrain an encoder on unlabelled texts.

    CORPUS is a .txt file of one text per line, a table (.csv, .tsv, .jsonl, .xlsx, .parquet) or a folder.
    """
    check_model_output(output)
    unfitted = make_encoder(encoder, n_components, min_df, max_ngram, seed, **splitting)
    if teacher is not None:
        if encoder != "vectors":
            raise ValueError(f"--teacher gives word vectors: it needs --encoder vectors, not {encoder}.")
        teacher = load_teacher(teacher, trusted)
    with show_progress("reading", 3 if teacher is None else 4, quiet=quiet, lines=True) as advance:
        texts = [text for path in corpora for text in transferkit.datasets.load_corpus(path, **reading)]
        advance(f"pretraining on {len(texts):,} texts")
        report = StepReport(advance.detail)
        start = time.perf_counter()
        for part in getattr(unfitted, "transformer_list", [("", unfitted)]):
            if hasattr(part[1], "set_callbacks"):
                part[1].set_callbacks(report)
        fitted = unfitted.fit(texts)
        if teacher is not None:
            advance(f"learning from the teacher on {len(texts):,} texts")
            fitted = transferkit.WordVectorEncoder.distil(teacher, texts, beside=fitted, callbacks=[report])
        seconds = time.perf_counter() - start
        advance("saving")
        transferkit.save(fitted, output)
    say(f"pretrained on {len(texts):,} texts in {seconds:.1f} s -> {output} ({megabytes(output)})", quiet)
    if teacher is not None:
        cosine, n_texts = fitted.fidelity_, fitted.n_held_out_
        say(f"fidelity to the teacher: mean cosine {cosine:.3f} on {n_texts:,} held-out texts", quiet)
    say("\n".join(describe_vocabulary(fitted)), quiet)


@commands.command()
@click.argument("corpora", nargs=-1, required=True, metavar="CORPUS...")
@click.option(
    "--encoder",
    "-e",
    default="english",
    show_default=True,
    help='Model file of a pretrained encoder, or "english" for that of the package.',
)
@click.option("--output", "-o", required=True, help="New CSV file to write, for example to_label.csv.")
@click.option("-n", "n", type=click.IntRange(min=1), default=20, show_default=True, help="Number of texts to suggest.")
@click.option("--model", metavar="MODEL.tk", help="Model file of a classifier fine-tuned on the labels so far.")
@click.option(
    "--labelled",
    multiple=True,
    metavar="LABELLED",
    help="Table of the texts labelled so far; rows without a label are ignored; repeatable.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "typical", "uncertain"]),
    default="auto",
    show_default=True,
    help="Typical texts, or those of them about which the model is uncertain; auto is the latter if there is a model.",
)
@_options.reading
@_options.label_column
@_options.quiet
@_options.trusted
def suggest(corpora, encoder, output, n, model, labelled, method, reading, label_column, quiet, trusted):
    """Suggest which texts to label next.

    CORPUS is a .txt file of one text per line, a table or a folder.

    Writes a table of the texts, most useful first, with an empty column for the labels and the reason for each text.
    Fill in labels and pass the table to finetune, which ignores rows without one.
    """
    _check_is_new_table(output)
    columns = [reading["text"] or "text", label_column or "label", "reason"]
    if len(set(columns)) < len(columns):
        raise ValueError(f"The output has the columns {columns}, which must differ: rename columns of the input.")
    check_encoder(encoder, trusted)
    pretrained = transferkit.PretrainedEncoder(encoder, trusted=trusted or None)
    fitted = None if model is None else load_text_model(model, classes=True, trusted=trusted)
    with show_progress("reading", 2, quiet=quiet, lines=True) as advance:
        texts = [text for path in corpora for text in transferkit.datasets.load_corpus(path, **reading)]
        known, _ = _read_labelled(labelled, label_column, reading)
        advance(f"comparing {len(texts):,} texts")
        found = transferkit.suggest_labels(texts, n, encoder=pretrained, model=fitted, X_labelled=known, method=method)
    rows = [[texts[i], "", reason] for i, reason in zip(found["index"], found["reason"], strict=True)]
    write_csv([columns, *rows], output)
    say(f"{len(rows):,} of {len(texts):,} texts to label -> {output}", quiet)


def _check_is_new_table(output):
    """Raise ValueError unless the output is a new file that finetune reads as CSV."""
    if kind_of(output) != "csv" or output.endswith(".gz"):
        raise ValueError(f"--output {output}: the table is CSV, so give a name that ends in .csv.")
    if Path(output).exists():
        raise ValueError(f"--output {output}: this file exists, and may hold labels. Give another name, or delete it.")
    check_writable(output)


def _read_labelled(paths, label_column, reading):
    """Return the texts and labels of tables; rows without a label are left out, and their number is printed."""
    texts, labels = [], []
    for path in paths:
        data = transferkit.datasets.load_labelled_csv(path, label=label_column, skip_unlabelled=True, **reading)
        if data.n_unlabelled:
            click.echo(f"{path}: ignored {data.n_unlabelled:,} rows without a label.", err=True)
        texts += data.data
        labels += data.target.tolist()
    return texts, np.array(labels, dtype=str)


class _Strategy(click.Choice):
    """The strategies, and the old name of "term_vectors", which neither the help nor messages show."""

    def convert(self, value, param, ctx):
        """Return the strategy."""
        return value if value == "prior" else super().convert(value, param, ctx)


@commands.command()
@click.argument("labelled", metavar="[LABELLED]...", nargs=-1)
@click.option(
    "--encoder",
    "-e",
    help='Model file of a pretrained encoder, or "english" for that of the package.  [default: english, unless '
    "--strategy scratch or --source is given]",
)
@click.option(
    "--source",
    metavar="MODEL",
    help="Model file to start from. If all labels are new to it, these classes are added to its own; otherwise the new "
    "weights are regularised towards its weights.",
)
@click.option("--output", "-o", required=True, help="Model file to write, for example model.tk.")
@click.option(
    "--strategy",
    type=_Strategy(["auto", "term_vectors", "frozen", "finetune", "scratch"]),
    default="auto",
    show_default=True,
    help="How to use the encoder; auto selects the strategy by cross-validation.",
)
@click.option(
    "-C",
    "C",
    type=click.FloatRange(min=0, min_open=True),
    help="Inverse regularisation strength.  [default: selected by cross-validation]",
)
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weight classes inversely to their frequency.")
@click.option("--cv", default=0, show_default=True, help="Also report the accuracy of this many folds; 0 for none.")
@evidence
@rejection
@_options.splitting
@_options.reading
@_options.label_column
@_options.quiet
@_options.trusted
def finetune(
    labelled,
    encoder,
    source,
    output,
    strategy,
    C,
    class_weight,
    cv,
    evidence,
    rejection,
    splitting,
    reading,
    label_column,
    quiet,
    trusted,
):
    """Train a classifier on labelled texts.

    Encoder and head are saved as one model.

    LABELLED is a table (.csv, .tsv, .jsonl, .xlsx, .parquet) or a folder with a sub-folder of texts per label.

    Rows without a label are ignored.

    Descriptions of the classes, unlabelled texts and a teacher are used as far as they help on held-out labels. Without
    labelled texts, leave LABELLED out and describe the classes:

    transferkit finetune --descriptions classes.json --unlabelled corpus.txt -e encoder.tk -o model.tk

    With --coverage or --max-error the model rejects texts; --cv evaluates it without that.
    """
    check_number_of_folds(cv)
    excluding = ["--strategy scratch"] * (strategy == "scratch") + ["--source"] * (source is not None)
    evidence.check(labelled, cv, excluding)
    rejection.check(labelled)
    check_model_output(output)
    head = None
    if C is not None:
        head = transferkit.LogisticHead(C=C, class_weight=class_weight)
    elif class_weight is not None:
        head = transferkit.LogisticHeadCV(Cs=[0.1, 1, 10, 100, 1000], class_weight=class_weight)
    given = make_scratch_encoder(encoder, strategy, **splitting)
    if encoder is not None:
        check_encoder(encoder, trusted)
        given = transferkit.PretrainedEncoder(encoder, trusted=trusted or None)
    if source is not None:
        source = load_text_model(source, classes=True, trusted=trusted)
    parameters = {"strategy": strategy, "source": source, **evidence.read_parameters(trusted)}
    classifier = transferkit.TransferClassifier(given, head, **parameters)
    model = rejection.wrap(classifier)
    with show_progress("reading", 4 if cv else 3, quiet=quiet, lines=True) as advance:
        model.set_callbacks(CandidateReport(advance.detail))
        texts, labels = _read_labelled(labelled, label_column, reading)
        evidence.check_classes(labels, source)
        rejection.check_label(labels)
        check_folds(cv, labels, " and ".join(labelled))
        unlabelled = evidence.read_texts(reading)
        others = {} if unlabelled is None else {"X_unlabelled": unlabelled}
        advance(f"training on {_count_texts(texts, unlabelled)}")
        start = time.perf_counter()
        model.fit(texts, labels, **others)
        seconds = time.perf_counter() - start
        advance("saving")
        transferkit.save(model, output, trusted=trusted)
        if cv:
            advance(f"evaluating {cv} folds")
            is_right = predict_folds(classifier, texts, labels, cv, advance.detail, **others)
    fitted = model.estimator_ if rejection.is_given else model
    say(
        f"fine-tuned on {_count_texts(texts, unlabelled)} of {len(model.classes_)} classes in {seconds:.1f} s "
        f"with strategy {fitted.strategy_!r} -> {output} ({megabytes(output)})",
        quiet,
    )
    if rejection.is_given:
        say(
            f"accepts {model.coverage_:.1%} of {model.n_held_out_:,} held-out texts, {model.error_:.1%} of these wrong",
            quiet,
        )
    if cv:
        say(describe_folds(is_right, cv), quiet)
    say(fitted.summary_["text"], quiet)


def _count_texts(labelled, unlabelled):
    counts = [f"{len(labelled):,} texts"] * (len(labelled) > 0)
    return " and ".join(counts if unlabelled is None else [*counts, f"{len(unlabelled):,} unlabelled texts"])


@commands.command()
@click.argument("model", metavar="MODEL.tk")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 selects a free one."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; by default reachable only from this machine."
)
@click.option(
    "--mmap", is_flag=True, help="Memory-map the file, so that servers share its memory; never overwrite it in place."
)
@click.option(
    "--max-texts",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Maximum number of texts per request.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    metavar="BYTES",
    help="Maximum size of a request.",
)
@click.option(
    "--max-characters",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Maximum number of characters per text.",
)
@click.option("--key-file", help="File with the secret key that the model must be signed with.")
@click.option("--quiet", "-q", is_flag=True, help="Do not log requests.")
@_options.trusted
def serve(model, port, host, quiet, key_file, **options):
    """Serve a model over HTTP.

    POST /predict and /explain, GET /model and /health; /docs is a page to try them.

    Each request is a line on stderr. The file is reloaded when it is replaced. Ctrl-C or SIGTERM ends the server when
    the requests that have begun are answered.
    """
    from transferkit.cli._serve import make_app, run_server

    app = make_app(model, verify_key=read_key(key_file), **options)
    run_server(app, host, port, click.echo, quiet=quiet)


@commands.command()
@click.option("--output", "-o", default="demo-output", show_default=True, help="Folder for models, plot and results.")
@_options.quiet
def demo(output, quiet):
    """Show all of this on docstrings.

    Pretrains an encoder, fine-tunes four tasks with few labels, and compares with training from scratch.
    """
    from transferkit.cli._demo import run_demo

    run_demo(Path(output), quiet=quiet)


for module in (_evaluate, _explain, _files, _predict):
    for command in module.COMMANDS:
        commands.add_command(command)
