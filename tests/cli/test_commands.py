"""The command line does the whole job, and reports mistakes in one line with exit code 2."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info, threadpool_limits

import transferkit
from transferkit._algorithms.linalg import threads
from transferkit.cli import _commands, make_app

ROOT = Path(__file__).parents[2]
ANIMALS, PAPERS, VERBS = ("cat", "dog", "cow", "horse"), ("stock", "bond", "fund", "share"), ("here", "there", "again")
UNLABELLED = [f"the {noun} is {verb}" for noun in ANIMALS + PAPERS for verb in VERBS] + [
    f"the {a} and the {b}" for group in (ANIMALS, PAPERS) for a in group for b in group if a != b
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(UNLABELLED))
    rows = [("the cat is here", "pet"), ("the cow", "pet"), ("the stock, again", "money"), ("the bond", "money")]
    with open(tmp_path / "labelled.csv", "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    (tmp_path / "other.csv").write_text("body,remark\na cat,pet\n")
    return tmp_path


@pytest.fixture
def model_path(folder, run):
    run("pretrain", folder / "corpus.txt", "-o", folder / "encoder.tk", "--encoder", "lsa", "--n-components", 4, "-q")
    run("finetune", folder / "labelled.csv", "-e", folder / "encoder.tk", "-o", folder / "model.tk", "-q")
    return folder / "model.tk"


def test_pretrain_finetune_evaluate_predict_describe(folder, run):
    arguments = ("--encoder", "lsa", "--n-components", 4)
    code, out, _ = run("pretrain", folder / "corpus.txt", "-o", folder / "encoder.tk", *arguments)
    assert code == 0
    assert out.startswith(f"pretrained on {len(UNLABELLED)} texts in ")
    arguments = ("-e", folder / "encoder.tk", "-o", folder / "model.tk", "--cv", 2)
    code, out, _ = run("finetune", folder / "labelled.csv", *arguments)
    assert code == 0
    assert out.startswith("fine-tuned on 4 texts of 2 classes in ")
    assert "Too few labels to hold any out: nothing shows whether transfer helped" in out
    assert "accuracy in 2 folds: " in out
    code, out, _ = run("evaluate", folder / "model.tk", folder / "labelled.csv")
    assert code == 0
    assert "accuracy  1.0000" in out
    code, out, _ = run("predict", folder / "model.tk", "-", stdin="the dog\nthe fund\n")
    assert code == 0
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["text", "prediction", "confidence"]
    assert [row[:2] for row in rows[1:]] == [["the dog", "pet"], ["the fund", "money"]]
    assert all(0.5 < float(row[2]) < 1 for row in rows[1:])
    code, out, _ = run("describe", folder / "model.tk")
    assert code == 0
    assert "TransferClassifier" in out


def test_predictions_are_those_of_the_loaded_model(model_path, run):
    options = ("--probabilities", "-o", model_path.parent / "out.csv")
    run("predict", model_path, model_path.parent / "corpus.txt", *options)
    with open(model_path.parent / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    model = transferkit.load(model_path)
    assert [row["text"] for row in rows] == UNLABELLED
    assert [row["prediction"] for row in rows] == model.predict(UNLABELLED).tolist()
    probabilities = [[float(row["probability of money"]), float(row["probability of pet"])] for row in rows]
    np.testing.assert_allclose(probabilities, model.predict_proba(UNLABELLED), atol=1e-6)


def test_report_in_json_counts_right(model_path, run):
    path = model_path.parent / "test.csv"
    path.write_text("text,label\na cat,pet\na dog,pet\na bond,pet\na stock,money\na horse,wild\n")
    report = json.loads(run("evaluate", model_path, path, "--json")[1])
    assert report["n_texts"] == 5
    assert report["accuracy"] == pytest.approx(3 / 5)
    assert report["confusion_matrix"] == {
        "labels": ["money", "pet", "wild"],
        "counts": [[1, 0, 0], [1, 2, 0], [0, 1, 0]],
    }
    assert report["classes"]["pet"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "n_texts": 3})
    assert report["classes"]["wild"]["recall"] == 0
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_pretrain_shows_what_was_learned(folder, run):
    options = ("--n-components", 3, "--min-df", 1, "-o", folder / "e.tk")
    corpus = folder / "long.txt"
    corpus.write_text("\n".join([*UNLABELLED * 2, *("their horse" for _ in range(30)), "their money"] + ["x y"] * 100))
    _, out, _ = run("pretrain", corpus, *options)
    encoder = transferkit.load(folder / "e.tk")
    assert f"\nvocabulary: {len(encoder.vocabulary_)} words\n" in out
    words = [line.split()[2].rstrip(":") for line in out.splitlines() if line.startswith("nearest to ")]
    assert words == ["bond", "fund", "share", "stock", "money"]  # "there", "again" are in many texts, or stop words
    nearest = ", ".join(word for word, _ in encoder.most_similar("stock", 4))
    assert f"nearest to stock: {nearest}\n" in out
    assert "vocabulary: " in run("pretrain", corpus, *options, "--encoder", "tfidf+lsa")[1]


@pytest.mark.parametrize("encoder", ["vectors", "lsa"])
def test_seed_reaches_the_encoder(encoder, folder, run):
    options = ("--encoder", encoder, "--n-components", 3, "-o", folder / "e.tk", "-q")
    for seed in (0, 7):
        assert run("pretrain", folder / "corpus.txt", *options, "--seed", seed) == (0, "", "")
        assert transferkit.load(folder / "e.tk").random_state == seed


def test_finetune_from_scratch_needs_no_encoder(folder, run):
    code, *_ = run("finetune", folder / "labelled.csv", "--strategy", "scratch", "-o", folder / "scratch.tk")
    assert code == 0
    assert transferkit.load(folder / "scratch.tk").strategy == "scratch"


@pytest.mark.parametrize(("encoder", "n_features"), [("tfidf", 14), ("lsa", 3), ("tfidf+lsa", 17)])
def test_each_kind_of_encoder(encoder, n_features, folder, run):
    options = ("--encoder", encoder, "--n-components", 3, "-o", folder / "e.tk")
    assert run("pretrain", folder / "corpus.txt", *options)[0] == 0
    assert transferkit.load(folder / "e.tk").transform(["the cat"]).shape == (1, n_features)


def test_vectors_of_a_teacher_are_beside_those_of_the_corpus(folder, model_path, run):
    (folder / "more.txt").write_text("the zebra is here\n")
    options = (folder / "more.txt", "--n-components", 3, "-o", folder / "student.tk")
    code, out, _ = run("pretrain", folder / "corpus.txt", "--teacher", folder / "encoder.tk", *options)
    assert code == 0
    student, plain = transferkit.load(folder / "student.tk"), transferkit.WordVectorEncoder(3, min_count=2)
    plain.fit([*UNLABELLED, "the zebra is here"])
    assert student.vocabulary_.keys() - plain.vocabulary_.keys() == {"zebra"}
    np.testing.assert_array_equal(student.vectors_[:-1, :3], plain.vectors_)
    assert student.transform(["the cat"]).shape == (1, 7)
    assert f"fidelity to the teacher: mean cosine {student.fidelity_:.3f} on 2 held-out texts" in out
    assert run("finetune", folder / "labelled.csv", "-e", folder / "student.tk", "-o", folder / "m.tk")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher", "encoder.tk", "--encoder", "lsa"), "--teacher gives word vectors: it needs --encoder vectors"),
        (("--teacher", "model.tk"), "the file holds a TransferClassifier, which predicts and does not encode"),
        (("--teacher", "no.tk"), "There is no model file 'no.tk'"),
        (("--teacher", "corpus.txt"), "is not a transferkit model file"),
        (("--teacher", "./missing"), "There is no folder './missing' with a sentence model"),
        (("--teacher", "some/name"), "Install it with: pip install 'transferkit[sentence]'"),
    ],
)
def test_bad_teachers_are_named(options, message, folder, model_path, run, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("transferkit.encoders.networks._sentence._is_installed", lambda package: False)
    code, _, err = run("pretrain", "corpus.txt", "-o", "e.tk", *options)
    assert code == 2
    assert message in err
    assert not (folder / "e.tk").exists()


def test_description_in_json(model_path, run):
    description = json.loads(run("describe", model_path, "--json")[1])
    assert description["classes"] == ["money", "pet"]


def test_finetune_takes_the_encoder_of_the_package(folder, run, tmp_path):
    code, out, err = run("finetune", folder / "labelled.csv", "-o", tmp_path / "m.tk")
    assert code == 0
    assert "No encoder was given, so it is 'english', that of the package." in out + err
    assert "encoder='english' (none was given)" in run("describe", tmp_path / "m.tk")[1]
    named = run("finetune", folder / "labelled.csv", "-e", "english", "-o", tmp_path / "named.tk", "-q")
    assert named == (0, "", "")


def test_quiet_says_nothing(folder, run):
    assert run("pretrain", folder / "corpus.txt", "-o", folder / "e.tk", "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("pretrain", "corpus.txt", "-o", "no/e.tk"), "The folder of the output 'no/e.tk' does not exist"),
        (("pretrain", "corpus.txt", "-o", "."), "The output '.' is a folder"),
        (("pretrain", "missing.txt", "-o", "e.tk"), "No such file or directory: 'missing.txt'"),
        (("pretrain", "labelled.pdf", "-o", "e.tk"), "A corpus is a .txt, .csv"),
        (("pretrain", "other.csv", "-o", "e.tk"), "has no column 'text'. Its columns are: ['body', 'remark']"),
        (
            ("pretrain", "corpus.txt", "-o", "e.tk", "--n-components", "0"),
            "Invalid value for '--n-components': 0 is not in the range x>=1",
        ),
        (("pretrain", "-o", "e.tk"), "Missing argument 'CORPUS...'"),
        (("finetune", "other.csv", "-e", "encoder.tk", "-o", "m.tk"), "has no column 'label'"),
        (("finetune", "labelled.csv", "-e", "no.tk", "-o", "m.tk"), "There is no model file 'no.tk'"),
        (
            ("finetune", "labelled.csv", "-e", "corpus.txt", "-o", "m.tk"),
            "'corpus.txt' is not a transferkit model file",
        ),
        (
            ("finetune", "labelled.csv", "-e", "encoder.tk", "-o", "m.tk", "-C", "-1"),
            "Invalid value for '-C': -1.0 is not in the range x>0",
        ),
        (("finetune", "one.csv", "-e", "encoder.tk", "-o", "m.tk"), "labels of at least 2 classes"),
        (("evaluate", "encoder.tk", "labelled.csv"), "which predicts no classes"),
        (("evaluate", "model.tk", "other.csv"), "has no column 'label'"),
        (("predict", "model.tk"), "'standard input' holds no texts"),
        (("predict", "model.tk", "missing.txt", "-o", "out.csv"), "No such file"),
        (("describe", "missing.tk"), "There is no model file 'missing.tk'"),
        (("describe", "."), "'.' is a folder, not a model file"),
        (("finetune", "labelled.csv", "-e", ".", "-o", "m.tk"), "'.' is a folder, not a model file"),
        (("finetune", "labelled.csv", "-e", "encoder.tk", "-o", "m.joblib"), "Give a name that ends in .tk"),
        (("finetune", "labelled.csv", "-e", "encoder.tk", "-o", "m.tk", "-C", "ten"), "'ten' is not a number."),
        (("pretrain", "corpus.txt", "-o", "e.tk", "--n-components", "a"), "'a' is not a whole number."),
        (("report", "model.tk", "-o", "labelled.csv"), "written as an HTML page. Give a name that ends in .html"),
        (("report", "model.tk", "-o", "model.tk"), "written as an HTML page. Give a name that ends in .html"),
        (("convert", "own.joblib", "labelled.csv"), "Give a name that ends in .tk"),
        (("describe", "labelled.csv"), "is not a transferkit model file"),
        (("nonsense",), "No such command 'nonsense'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(args, message, model_path, run, monkeypatch):
    folder = model_path.parent
    (folder / "one.csv").write_text("text,label\na,x\nb,x\n")
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, out, error = run(*args)
    assert code == 2
    assert out == ""
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"transferkit, version {transferkit.__version__}\n", "")


def test_module_is_a_command_whose_reader_may_stop_early(model_path):
    command = f"{sys.executable} -m transferkit predict {model_path} {model_path.parent / 'corpus.txt'} | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("text,prediction")
    assert result.stderr == ""


def test_verify_compares_every_byte_and_the_key(folder, model_path, run):
    code, out, _ = run("verify", model_path)
    assert code == 0
    assert f"intact, self-test passed, not signed, digest {transferkit.describe(model_path).digest}" in out
    (folder / "key").write_bytes(b"secret\n")
    assert "is not signed with the given key" in run("verify", model_path, "--key-file", folder / "key")[2]
    transferkit.save(transferkit.load(model_path), folder / "signed.tk", sign_key=b"secret")
    assert "signature not checked" in run("verify", folder / "signed.tk")[1]
    assert "signature valid" in run("verify", folder / "signed.tk", "--key-file", folder / "key")[1]
    content = bytearray(model_path.read_bytes())
    content[-1] ^= 1
    model_path.write_bytes(content)
    code, _, err = run("verify", model_path)
    assert code == 2
    assert err.startswith("Error: ")


def test_convert_goes_both_ways_and_warns_of_code(folder, model_path, run):
    code, out, _ = run("convert", model_path, folder / "model.joblib")
    assert code == 0
    assert "joblib files are code" in out
    code, _, err = run("convert", folder / "model.joblib", folder / "back.tk")
    assert code == 2
    assert "is code: loading it runs whatever its author put in it" in err
    assert not (folder / "back.tk").exists()
    assert run("convert", folder / "model.joblib", folder / "back.tk", "--trust-code")[0] == 0
    texts = ["the cat is here", "a bond"]
    expected = transferkit.load(model_path).predict_proba(texts)
    np.testing.assert_allclose(transferkit.load(folder / "back.tk").predict_proba(texts), expected, atol=1e-6)
    assert "must end in .joblib or .pkl" in run("convert", model_path, folder / "other.tk")[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX files")
@pytest.mark.parametrize(
    ("arguments", "target"),
    [(("predict", "model.tk", "corpus.txt", "-o"), "o.csv"), (("convert", "model.tk"), "o.joblib")],
)
def test_output_keeps_links_modes_and_devices(arguments, target, model_path, run, monkeypatch):
    monkeypatch.chdir(model_path.parent)
    target = Path(target)
    private, link = target.with_stem("private"), target
    private.write_bytes(b"old")
    private.chmod(0o600)
    link.symlink_to(private)
    assert run(*arguments, link)[0] == 0
    assert link.is_symlink()
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.stat().st_size > 3
    if arguments[0] == "predict":
        assert run(*arguments, "/dev/null")[0] == 0
        assert Path("/dev/null").is_char_device()


def test_failed_conversion_leaves_the_old_file(model_path, run, monkeypatch):
    import joblib

    def fail(model, path):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(joblib, "dump", fail)
    old = model_path.with_suffix(".joblib")
    old.write_bytes(b"old")
    code, _, error = run("convert", model_path, old)
    assert code == 2
    assert "No space left" in error
    assert old.read_bytes() == b"old"
    assert not list(model_path.parent.glob("*.tmp"))


@pytest.mark.parametrize(
    ("classes", "written"),
    [
        ([0, 1], ["0", "1"]),
        ([0, 1], ["0.0", "1.0"]),
        ([0.0, 1.0], ["0", "1"]),
        ([2.0, 1e3], ["+2.00", "1e3"]),
        ([2**53, 2**53 + 1], ["09007199254740992", "09007199254740993"]),  # the same as floats
        ([False, True], ["false", "TRUE"]),
        ([False, True], ["0", "1"]),
        (["1.0", "1"], ["1.0", "1"]),
    ],
)
def test_labels_of_the_file_are_read_as_the_classes_of_the_model(classes, written, folder, run):
    texts = ["the cat is here", "the stock again"] * 5
    model = transferkit.TransferClassifier(strategy="scratch").fit(texts, np.array([*classes] * 5))
    transferkit.save(model, folder / "model.tk")
    rows = "".join(f"{text},{written[i % 2]}\n" for i, text in enumerate(texts))
    (folder / "t.csv").write_text("text,label\n" + rows)
    code, out, error = run("evaluate", folder / "model.tk", folder / "t.csv", "--json")
    assert (code, error) == (0, "")
    assert json.loads(out)["accuracy"] == 1
    assert list(json.loads(out)["classes"]) == sorted(str(label) for label in model.classes_)


def test_labels_that_are_no_classes_are_named(folder, model_path, run):
    (folder / "t.csv").write_text("text,label\nthe cat,0\nthe cow,1\n")
    code, out, error = run("evaluate", model_path, folder / "t.csv")
    assert (code, out) == (2, "")
    assert f"None of the labels in '{folder / 't.csv'}', ['0', '1'], is a class of the model: ['money', 'pet']" in error
    (folder / "t.csv").write_text("text,label\nthe cat,pet\nthe cow,wild\n")
    code, out, error = run("evaluate", model_path, folder / "t.csv")
    assert code == 0
    assert "that are not classes of the model: ['wild']" in error
    assert "accuracy  0.5000" in out


def test_model_of_several_labels_is_not_evaluated(folder, run):
    texts = ["the cat is here", "the stock again"] * 5
    model = transferkit.TransferClassifier(strategy="scratch").fit(texts, np.array([[0, 1], [1, 0]] * 5))
    transferkit.save(model, folder / "model.tk")
    (folder / "t.csv").write_text("text,label\nthe cat,0\nthe stock,1\n")
    code, _, error = run("evaluate", folder / "model.tk", folder / "t.csv")
    assert code == 2
    assert "predicts several labels per text" in error


@pytest.mark.parametrize("name", ["t.txt", "t.csv", "-"])
def test_each_line_has_its_prediction(name, folder, model_path, run):
    lines = ["", "the dog", "  ", "the\x0bfund\u2028again", ""]
    content = "\n".join(lines) + "\n"
    source = folder / name if name != "-" else name
    if name != "-":
        source.write_text(("text\n" if name == "t.csv" else "") + content, newline="")
    code, out, error = run("predict", model_path, source, stdin=content)
    assert (code, error) == (0, "")
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert [row[0] for row in rows[1:]] == lines
    assert all(row[1] in ("money", "pet") for row in rows[1:])


def test_models_with_trusted_classes_can_be_used(folder, run):
    from sklearn.feature_extraction.text import CountVectorizer

    pytest.importorskip("fastapi")
    name, path = "sklearn.feature_extraction.text.CountVectorizer", folder / "own.tk"
    model = make_pipeline(CountVectorizer(), transferkit.LogisticHead())
    model.fit(["the cat is here", "the stock"], ["pet", "money"])
    transferkit.save(model, path, trusted=[name])
    for command in ("evaluate", "predict", "verify", "convert"):
        others = {"verify": [], "convert": [folder / "own.joblib"]}.get(command, [folder / "labelled.csv"])
        assert re.search(rf"Error: .* --trusted {name}", run(command, path, *others)[2])
        code, _, error = run(command, path, *others, "--trusted", name)
        assert (code, error) == (0, "")
    back = ("convert", folder / "own.joblib", folder / "back.tk", "--trust-code")
    assert run(*back)[0] == 2
    assert run(*back, "--trusted", name)[0] == 0
    assert make_app(path, trusted=[name]).state.model_file.current().predict(["cat"]).tolist() == ["pet"]


def test_encoder_with_a_trusted_class_can_be_fine_tuned(folder, run):
    from sklearn.feature_extraction.text import CountVectorizer

    name, encoder, output = "sklearn.feature_extraction.text.CountVectorizer", folder / "own.tk", folder / "tuned.tk"
    transferkit.save(make_pipeline(CountVectorizer()).fit(["the cat is here", "the stock"]), encoder, trusted=[name])
    command = ("finetune", folder / "labelled.csv", "-e", encoder, "-o", output, "--strategy", "frozen")
    code, _, error = run(*command)
    assert code == 2
    assert f"--trusted {name}" in error
    assert not output.exists()
    assert run(*command, "--trusted", name)[0] == 0
    with pytest.raises(transferkit.exceptions.ModelFileError, match="trusted="):
        transferkit.load(output)
    assert transferkit.load(output, trusted=[name]).predict(["cat"]).tolist() == ["pet"]


def test_a_command_has_no_more_threads_of_blas_than_the_process_may_use(run, monkeypatch):
    def count():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    found = []
    monkeypatch.setattr(threads, "count_threads", lambda: 1)
    monkeypatch.setattr(_commands.commands, "main", lambda **_: found.extend(count()))
    with threadpool_limits(2, user_api="blas"):
        before = count()
        run("describe")
        assert count() == before
    assert found == [1] * len(before)


def test_list_of_commands_says_whole_sentences(run):
    shown = run("--help")[1].partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in shown] == sorted(_commands.commands.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in shown)


def test_encoder_that_is_missing_is_reported_before_anything_is_read(folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    error = run("finetune", "missing.csv", "-e", "no.tk", "-o", "m.tk", progress=True)[2]
    assert error == "Error: There is no model file 'no.tk'.\n"


PAGES = {ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "how-to" / "mistakes.md"}


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.stem)
def test_commands_of_the_pages_exist_with_their_options(page):
    text = page.read_text("utf-8")
    blocks = "\n".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S))
    found = re.findall(r"^(?:\$ )?transferkit ([a-z].*)$", blocks, re.M) + re.findall(
        r"`transferkit ([a-z][^`]*)`", text
    )
    for line in found:
        name, *args = shlex.split(line.partition(" #")[0])
        with contextlib.suppress(click.MissingParameter, click.exceptions.Exit):  # only named, or --help
            _commands.commands.commands[name].make_context(name, args)


@pytest.mark.parametrize("name", sorted(_commands.commands.commands))
def test_help_shows_examples_on_lines_of_their_own(name, run):
    shown = run(name, "--help")[1]
    assert "\\b" not in shown
    for line in shown.splitlines():
        assert line.count(f"transferkit {name}") <= 1
