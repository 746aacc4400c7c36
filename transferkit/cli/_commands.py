"""The commands: pretrain, suggest, finetune, evaluate, report, predict, describe, verify, convert, serve, demo."""

import json
import sys
import time
from pathlib import Path

import click
import numpy as np

import transferkit
from transferkit.cli import _options
from transferkit.cli._evaluation import (
    REJECTED,
    check_folds,
    check_number_of_folds,
    evaluate_predictions,
    format_report,
    match_labels,
    score_folds,
    write_labels,
)
from transferkit.cli._evidence import evidence
from transferkit.cli._options import load_teacher, make_encoder, make_scratch_encoder
from transferkit.cli._progress import CandidateReport, show_progress
from transferkit.cli._rejection import rejection
from transferkit.cli._text_models import find_selective, load_text_model, predict_texts
from transferkit.datasets import read_texts
from transferkit.datasets.files import kind_of
from transferkit.persistence import is_pickle, load_with_outcome, write_atomically

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
    "--n-components", default=256, show_default=True, help="Dimension of word vectors, number of LSA features."
)
@click.option("--min-df", default=2, show_default=True, help="Ignore terms that occur in fewer texts.")
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
@_options.splitting
@_options.reading
@_options.quiet
@_options.trusted
def pretrain(corpora, output, encoder, n_components, min_df, max_ngram, teacher, splitting, reading, quiet, trusted):
    """Pretrain an encoder on unlabelled texts (.txt, .csv, .tsv or .jsonl files, also with .gz)."""
    _check_writable(output)
    unfitted = make_encoder(encoder, n_components, min_df, max_ngram, **splitting)
    if teacher is not None:
        if encoder != "vectors":
            raise ValueError(f"--teacher gives word vectors: it needs --encoder vectors, not {encoder}.")
        teacher = load_teacher(teacher, trusted)
    with show_progress("reading", 3 if teacher is None else 4, quiet=quiet, lines=True) as advance:
        texts = [text for path in corpora for text in transferkit.datasets.load_corpus(path, **reading)]
        advance(f"pretraining on {len(texts):,} texts")
        start = time.perf_counter()
        fitted = unfitted.fit(texts)
        if teacher is not None:
            advance(f"learning from the teacher on {len(texts):,} texts")
            fitted = transferkit.WordVectorEncoder.distil(teacher, texts, beside=fitted)
        seconds = time.perf_counter() - start
        advance("saving")
        transferkit.save(fitted, output)
    _say(f"pretrained on {len(texts):,} texts in {seconds:.1f} s -> {output} ({_megabytes(output)})", quiet)
    if teacher is not None:
        cosine, n_texts = fitted.fidelity_, fitted.n_held_out_
        _say(f"fidelity to the teacher: mean cosine {cosine:.3f} on {n_texts:,} held-out texts", quiet)


@commands.command()
@click.argument("corpora", nargs=-1, required=True, metavar="CORPUS...")
@click.option("--encoder", "-e", required=True, help="Model file of a pretrained encoder.")
@click.option("--output", "-o", required=True, help="New CSV file to write, for example to_label.csv.")
@click.option("-n", "n", default=20, show_default=True, help="Number of texts to suggest.")
@click.option("--model", metavar="MODEL.tk", help="Model file of a classifier fine-tuned on the labels so far.")
@click.option(
    "--labelled",
    multiple=True,
    metavar="LABELLED",
    help="Table (.csv, .tsv or .jsonl) of the texts labelled so far; rows without a label are ignored; repeatable.",
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
    """Suggest which texts of a corpus (.txt, .csv, .tsv or .jsonl) to label next.

    Writes a table of the texts, most useful first, with an empty column for the labels and the reason for each text.
    Fill in labels and pass the table to finetune, which ignores rows without one.
    """
    _check_is_new_table(output)
    columns = [reading["text"], label_column, "reason"]
    if len(set(columns)) < len(columns):
        raise ValueError(f"The output has the columns {columns}, which must differ: rename columns of the input.")
    pretrained = transferkit.PretrainedEncoder(encoder, trusted=trusted or None)
    fitted = None if model is None else load_text_model(model, classes=True, trusted=trusted)
    with show_progress("reading", 2, quiet=quiet) as advance:
        texts = [text for path in corpora for text in transferkit.datasets.load_corpus(path, **reading)]
        known, _ = _read_labelled(labelled, label_column, reading)
        advance(f"comparing {len(texts):,} texts")
        found = transferkit.suggest_labels(texts, n, encoder=pretrained, model=fitted, X_labelled=known, method=method)
    rows = [[texts[i], "", reason] for i, reason in zip(found["index"], found["reason"], strict=True)]
    _write_csv([columns, *rows], output)
    _say(f"{len(rows):,} of {len(texts):,} texts to label -> {output}", quiet)


def _check_is_new_table(output):
    """Raise ValueError unless the output is a new file that finetune reads as CSV."""
    if kind_of(output) != "csv" or output.endswith(".gz"):
        raise ValueError(f"--output {output}: the table is CSV, so give a name that ends in .csv.")
    if Path(output).exists():
        raise ValueError(f"--output {output}: this file exists, and may hold labels. Give another name, or delete it.")
    _check_writable(output)


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


@commands.command()
@click.argument("labelled", metavar="[LABELLED]...", nargs=-1)
@click.option(
    "--encoder", "-e", help="Model file of a pretrained encoder. Required unless --strategy scratch or --source."
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
    type=click.Choice(["auto", "term_vectors", "frozen", "finetune", "scratch", "prior"]),
    metavar="[auto|term_vectors|frozen|finetune|scratch]",  # "prior" is the old name of "term_vectors"
    default="auto",
    show_default=True,
    help="How to use the encoder; auto selects the strategy by cross-validation.",
)
@click.option("-C", "C", type=float, help="Inverse regularisation strength.  [default: selected by cross-validation]")
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
    """Train a head on labelled texts (.csv, .tsv or .jsonl) and save encoder and head as one model.

    Rows without a label are ignored.

    Descriptions of the classes, unlabelled texts and a teacher are used as far as they help on held-out labels. Without
    labelled texts, leave LABELLED out and describe the classes:

    transferkit finetune --descriptions classes.json --unlabelled corpus.txt -e encoder.tk -o model.tk

    With --coverage or --max-error the model rejects texts; --cv evaluates it without that.
    """
    check_number_of_folds(cv)
    evidence.check(labelled, encoder, cv)
    rejection.check(labelled)
    _check_writable(output)
    head = None
    if C is not None:
        head = transferkit.LogisticHead(C=C, class_weight=class_weight)
    elif class_weight is not None:
        head = transferkit.LogisticHeadCV(Cs=[0.1, 1, 10, 100, 1000], class_weight=class_weight)
    if encoder is not None:
        encoder = transferkit.PretrainedEncoder(encoder, trusted=trusted or None)
    given = make_scratch_encoder(encoder, strategy, **splitting)
    if source is not None:
        source = load_text_model(source, classes=True, trusted=trusted)
    parameters = {"strategy": strategy, "source": source, **evidence.read_parameters(trusted)}
    classifier = transferkit.TransferClassifier(given, head, **parameters)
    model = rejection.wrap(classifier)
    with show_progress("reading", 4 if cv else 3, quiet=quiet, lines=True) as advance:
        classifier.set_callbacks(CandidateReport(advance.detail))
        texts, labels = _read_labelled(labelled, label_column, reading)
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
            scores = score_folds(classifier, texts, labels, cv, **others)
    fitted = model.estimator_ if rejection.is_given else model
    _say(
        f"fine-tuned on {_count_texts(texts, unlabelled)} of {len(model.classes_)} classes in {seconds:.1f} s "
        f"with strategy {fitted.strategy_!r} -> {output} ({_megabytes(output)})",
        quiet,
    )
    _say(fitted.summary_["text"], quiet)
    if rejection.is_given:
        _say(
            f"accepts {model.coverage_:.1%} of {model.n_held_out_:,} held-out texts, {model.error_:.1%} of these wrong",
            quiet,
        )
    if cv:
        _say(f"accuracy in {cv} folds: {scores.mean():.3f} (standard deviation {scores.std():.3f})", quiet)


def _count_texts(labelled, unlabelled):
    counts = [f"{len(labelled):,} texts"] * (len(labelled) > 0)
    return " and ".join(counts if unlabelled is None else [*counts, f"{len(unlabelled):,} unlabelled texts"])


@commands.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("labelled", metavar="LABELLED")
@_options.reading
@_options.label_column
@_options.as_json
@_options.trusted
def evaluate(model, labelled, reading, label_column, as_json, trusted):
    """Evaluate a model on labelled texts (.csv, .tsv or .jsonl).

    Prints accuracy, macro F1, precision and recall per class, and the confusion matrix. If the model rejects texts, the
    reject label is a class, "(rejected)" if it has none, and the accuracy of the accepted texts is printed, too.
    """
    fitted = load_text_model(model, classes=True, trusted=trusted)
    truth, predicted, _, rejected = _predict_labelled(fitted, model, labelled, label_column, reading)
    report = evaluate_predictions(truth, predicted, rejected)
    click.echo(json.dumps(report, indent=2) if as_json else format_report(report))


@commands.command()
@click.argument("model", metavar="MODEL.tk")
@click.option("--output", "-o", required=True, help="HTML file to write, for example report.html.")
@click.option(
    "--data",
    multiple=True,
    metavar="LABELLED",
    help="Labelled texts (.csv, .tsv or .jsonl) for the confusion matrix and the calibration; repeatable.",
)
@_options.reading
@_options.label_column
@_options.quiet
@_options.trusted
def report(model, output, data, reading, label_column, quiet, trusted):
    """Write a page about a model: whether transfer helped, candidates, top terms, and predictions for labelled texts.

    The page is one HTML file that needs no network and no JavaScript.
    """
    from transferkit.cli._report import make_report

    _check_writable(output)
    fitted = load_text_model(model, classes=True, trusted=trusted)
    predicted = {name: _predict_labelled(fitted, model, name, label_column, reading, reject=False) for name in data}
    page = make_report(fitted, Path(model).name, transferkit.describe(model), predicted)
    with write_atomically(output, "output") as temporary:
        temporary.write_text(page, encoding="utf-8")
    _say(f"{model} -> {output}", quiet)


def _predict_labelled(fitted, model, labelled, label_column, reading, reject=True):
    """Return labels and predictions as text, the probability of each prediction, and whether it is rejected.

    The last two are None if the model has no probabilities, and if it never rejects. Without `reject` the predictions
    are those for accepted texts in any case.
    """
    data = transferkit.datasets.load_labelled_csv(labelled, label=label_column, **reading)
    selective = find_selective(fitted)
    truth, unknown = match_labels(data.target, fitted, labelled, None if selective is None else selective.reject_label)
    answer = predict_texts(fitted, data.data, reject=reject)
    if answer.predictions.ndim > 1:
        raise ValueError(
            f"The model in {model!r} predicts several labels per text, but a table has one: evaluate it in Python."
        )
    if unknown:
        click.echo(f"Labels of {labelled!r} that are not classes of the model: {write_labels(unknown)}.", err=True)
    highest = None if answer.probabilities is None else answer.probabilities.max(axis=1)
    predicted = np.array([REJECTED if label is None else str(label) for label in answer.predictions.tolist()])
    return truth, predicted, highest, answer.rejected


@commands.command()
@click.argument("model", metavar="MODEL.tk")
@click.argument("texts", metavar="[TEXTS]", default="-")
@click.option("--output", "-o", help="CSV file to write; by default standard output.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Column or key of the input to include in the output; repeatable."
)
@click.option(
    "--reject/--no-reject",
    default=None,
    help="Whether rejected texts get the reject label of the model, or no prediction.  [default: if it rejects any]",
)
@_options.reading
@_options.quiet
@_options.trusted
def predict(model, texts, output, keep, reject, reading, quiet, trusted):
    """Predict the texts of a file (.txt, .csv, .tsv, .jsonl), or of standard input, one per line, and write CSV.

    Each input line gives one output row; blank lines are empty texts. For a model that rejects texts (finetune
    --coverage or --max-error) there is a column "rejected".
    """
    if output:
        _check_writable(output)
    fitted = load_text_model(model, trusted=trusted)
    if reject and find_selective(fitted) is None:
        raise ValueError(
            f"--reject: the model in {model!r} rejects no texts. Make one that does with finetune --coverage or "
            "--max-error, or in Python with SelectiveClassifier."
        )
    source = {"source": texts} if texts != "-" else {"source": sys.stdin.buffer, "kind": "txt"}
    header = _make_header(fitted, keep)
    rows, kept, *_ = read_texts(**source, **reading, others=keep, keep_blank=True)
    lines, batch = [], 1000
    with show_progress(f"predicting {len(rows):,} texts", -(-len(rows) // batch), quiet=quiet) as advance:
        for start in range(0, len(rows), batch):
            lines += _predict_batch(fitted, rows[start : start + batch], reject is not False)
            advance()
    _write_csv([header, *(others + line for others, line in zip(kept, lines, strict=True))], output)


def _make_header(model, keep):
    header = ["text", "prediction"] + ["rejected"] * (find_selective(model) is not None)
    if hasattr(model, "predict_proba"):
        header += [f"probability of {name}" for name in model.classes_]
    for place, name in enumerate(keep):
        if name in header or name in keep[:place]:
            raise ValueError(f"--keep {name}: the output already has a column {name!r}. Omit it, or rename it.")
    return [*keep, *header]


def _predict_batch(model, texts, reject):
    answer = predict_texts(model, texts, reject=reject)
    columns = [texts, answer.predictions.tolist()]
    if answer.rejected is not None:
        columns.append(np.where(answer.rejected, "true", "false").tolist())
    if answer.probabilities is not None:
        columns += [[f"{p:.6f}" for p in column] for column in answer.probabilities.T]
    return [list(row) for row in zip(*columns, strict=True)]


def _write_csv(rows, output):
    import csv
    import io

    buffer = io.StringIO(newline="")
    has_returns = any("\r" in str(field) for row in rows for field in row)  # readers take one for the end of a row
    quoting = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL  # the latter quotes none before Python 3.13
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerows(rows)
    if output:
        with write_atomically(output, "output") as temporary:
            temporary.write_bytes(buffer.getvalue().encode())
    else:
        click.echo(buffer.getvalue(), nl=False)


@commands.command()
@click.argument("model", metavar="MODEL.tk")
@_options.as_json
def describe(model, as_json):
    """Describe a model file without loading it."""
    description = transferkit.describe(model)
    click.echo(json.dumps(description.to_dict(), indent=2) if as_json else str(description))


@commands.command()
@click.argument("model", metavar="FILE")
@click.option("--key-file", help="File with the secret key that the model must be signed with.")
@_options.trusted
def verify(model, key_file, trusted):
    """Check the digest and signature of a model file and run its self-test; exit code 2 if one of them fails."""
    _, not_compared = load_with_outcome(model, verify="full", verify_key=_read_key(key_file), trusted=trusted)
    self_test = "self-test passed" if not_compared is None else f"self-test not run: {not_compared}"
    description = transferkit.describe(model)
    signed = "signature valid" if key_file else "signature not checked" if description.signed else "not signed"
    click.echo(f"{model}: intact, {self_test}, {signed}, digest {description.digest}")


@commands.command()
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option("--trust-code", is_flag=True, help="Load a .joblib or .pkl file, which runs the code in it.")
@_options.trusted
def convert(source, output, trust_code, trusted):
    """Convert a .joblib or .pkl file to a model file (.tk), or back."""
    import joblib

    _check_writable(output)
    writes = is_pickle(output)
    if is_pickle(source) == writes:
        raise ValueError(f"One of {source!r} and {output!r} must end in .joblib or .pkl, the other is the model file.")
    if writes:
        model = transferkit.load(source, verify="full", mmap=False, trusted=trusted)
        with write_atomically(output, "output") as temporary:
            joblib.dump(model, temporary)
        click.echo(
            f"{source} -> {output} ({_megabytes(output)}). Whoever loads it must trust you: joblib files are code."
        )
        return
    if not trust_code:
        raise ValueError(
            f"{source!r} is code: loading it runs whatever its author put in it. If you made it or trust its author, "
            "add --trust-code."
        )
    transferkit.save(_load_joblib(source), output, trusted=trusted)
    click.echo(f"{source} -> {output} ({_megabytes(output)})")


def _load_joblib(path):
    import joblib

    try:
        model = joblib.load(path)
    except OSError:  # its message contains the path
        raise
    except Exception as error:  # invalid pickles lead to errors of any type
        raise ValueError(
            f"{path!r} cannot be loaded as a joblib or pickle file: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(model, "get_params"):
        raise ValueError(f"{path!r} holds a {type(model).__name__}, which is not an estimator.")
    return model


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
@click.option("--key-file", help="File with the secret key that the model must be signed with.")
@_options.trusted
def serve(model, port, host, mmap, max_texts, max_body, key_file, trusted):
    """Serve a model over HTTP: POST /predict and /explain, GET /model. The file is reloaded when it is replaced."""
    from transferkit.cli._serve import make_app, run_server

    key = _read_key(key_file)
    app = make_app(model, mmap=mmap, max_texts=max_texts, max_body=max_body, verify_key=key, trusted=trusted)
    run_server(app, host, port, click.echo)


def _read_key(path):
    if path is None:
        return None
    key = Path(path).read_bytes().strip()
    if not key:
        raise ValueError(f"The key file {path!r} is empty.")
    return key


@commands.command()
@click.option("--output", "-o", default="demo-output", show_default=True, help="Folder for models, plot and results.")
@_options.quiet
def demo(output, quiet):
    """Run a demo: pretrain on docstrings, fine-tune four tasks with few labels, compare with training from scratch."""
    from transferkit.cli._demo import run_demo

    run_demo(Path(output), quiet=quiet)


def _check_writable(path):
    """Raise ValueError before hours of work, not after."""
    if Path(path).is_dir():
        raise ValueError(f"The output {path!r} is a folder. Give the path of a file.")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"The folder of the output {path!r} does not exist. Create it first.")


def _megabytes(path):
    return f"{Path(path).stat().st_size / 1e6:.2f} MB"


def _say(message, quiet):
    if not quiet:
        click.echo(message)
