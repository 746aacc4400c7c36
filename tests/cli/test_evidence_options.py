"""`finetune` learns from descriptions, unlabelled texts and a teacher, with labelled texts or without."""

import csv
import io
import json

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import transferkit
from tests.transfer.test_evidence import DESCRIPTIONS, LABELS, TEST, TEXTS, TRUTH, UNLABELLED

FEW = 18


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of files, which tests only read."""
    folder = tmp_path_factory.mktemp("evidence")
    encoder = transferkit.WordVectorEncoder(n_components=20, min_count=2).fit(UNLABELLED)
    transferkit.save(encoder, folder / "encoder.tk")
    (folder / "corpus.txt").write_text("\n".join(UNLABELLED))
    rows = [f"{text},{label}\n" for text, label in zip(TEXTS[:FEW], LABELS[:FEW], strict=True)]
    (folder / "labelled.csv").write_text("".join(["text,label\n", *rows]))
    (folder / "classes.json").write_text(json.dumps(DESCRIPTIONS))
    (folder / "prior.json").write_text(json.dumps({"animal": 0.5, "music": 0.3, "weather": 0.2}))
    model = transferkit.TransferClassifier(encoder, class_descriptions=DESCRIPTIONS)
    transferkit.save(model.fit([], [], X_unlabelled=UNLABELLED), folder / "teacher.tk")
    margins = make_pipeline(transferkit.TfidfEncoder(), LinearSVC()).fit(TEXTS[:FEW], LABELS[:FEW])
    transferkit.save(margins, folder / "margins.tk")
    (folder / "twice.json").write_text('{"animal": "a", "animal": "b"}')
    (folder / "list.json").write_text('["animal"]')
    (folder / "number.json").write_text('{"animal": 5}')
    (folder / "other.json").write_text(json.dumps(DESCRIPTIONS | {"food": "bread"}))
    (folder / "sum.json").write_text(json.dumps({"animal": 0.5, "music": 0.3, "weather": 0.3}))
    (folder / "words.json").write_text(json.dumps({"animal": "much", "music": 0.3, "weather": 0.3}))
    (folder / "blank.txt").write_text("\n\n")
    return folder


@pytest.fixture
def finetune(files, run, monkeypatch, tmp_path):
    """Return a function that runs `finetune` in the folder of the files and returns exit code, output and errors."""
    monkeypatch.chdir(files)
    common = ("-e", "encoder.tk", "--strategy", "term_vectors", "-o", tmp_path / "model.tk")

    def finetune(*args):
        return run("finetune", *args, *common)

    return finetune


@pytest.mark.parametrize("source", ["--descriptions", "--teacher"])
def test_texts_are_classified_without_any_label(source, finetune, run, tmp_path):
    file = {"--descriptions": "classes.json", "--teacher": "teacher.tk"}[source]
    code, out, error = finetune(source, file, "--unlabelled", "corpus.txt")
    assert (code, error) == (0, "")
    assert out.startswith("fine-tuned on 600 unlabelled texts of 3 classes in ")
    code, out, _ = run("predict", tmp_path / "model.tk", "-", stdin="\n".join(TEST))
    assert code == 0
    predicted = [row["prediction"] for row in csv.DictReader(io.StringIO(out))]
    assert (np.array(predicted) == TRUTH).mean() > 0.9
    assert transferkit.load(tmp_path / "model.tk").teacher is None


def test_labels_and_everything_else_are_used_together(files, finetune, tmp_path):
    (tmp_path / "more.csv").write_text("text\nanimal1 music1\nword1 word2\n")
    everything = ("--descriptions", "classes.json", "--teacher", "teacher.tk", "--class-prior", "prior.json")
    corpora = ("--unlabelled", "corpus.txt", "--unlabelled", tmp_path / "more.csv")
    code, out, error = finetune("labelled.csv", *everything, *corpora, "-C", 1)
    assert (code, error) == (0, "")
    assert out.startswith(f"fine-tuned on {FEW} texts and 602 unlabelled texts of 3 classes in ")
    model = transferkit.load(tmp_path / "model.tk")
    assert "descriptions + teacher + unlabelled" in model.strategy_scores_["evidence"].tolist()
    same = transferkit.TransferClassifier(
        transferkit.load(files / "encoder.tk"),
        transferkit.LogisticHead(C=1.0),
        class_descriptions=DESCRIPTIONS,
        teacher=files / "teacher.tk",
        class_prior={"animal": 0.5, "music": 0.3, "weather": 0.2},
        strategy="term_vectors",
    )
    same.fit(TEXTS[:FEW], LABELS[:FEW], X_unlabelled=[*UNLABELLED, "animal1 music1", "word1 word2"])
    np.testing.assert_allclose(model.predict_proba(TEST), same.predict_proba(TEST), atol=1e-5)


def test_folds_are_evaluated_with_the_unlabelled_texts(finetune):
    options = ("--teacher", "teacher.tk", "--unlabelled", "corpus.txt", "--cv", 2, "-C", 1)
    code, out, error = finetune("labelled.csv", *options)
    assert (code, error) == (0, "")
    assert float(out.split("accuracy in 2 folds: ")[1].split()[0]) > 0.9


def test_labels_that_are_words_describe_themselves(files, run, finetune, tmp_path):
    code, _, error = finetune("labelled.csv", "--descriptions", "labels")
    assert code == 2
    assert "knows no word of the description of the class 'animal'" in error  # the words are animal0, animal1 ...
    corpus = [text.replace("0 ", " ") for text in UNLABELLED]
    transferkit.save(transferkit.WordVectorEncoder(20, min_count=2).fit(corpus), tmp_path / "own.tk")
    options = ("-e", tmp_path / "own.tk", "-o", tmp_path / "model.tk", "--strategy", "term_vectors", "-C", 1)
    assert run("finetune", "labelled.csv", "--descriptions", "labels", *options)[0] == 0
    model = transferkit.load(tmp_path / "model.tk")
    assert model.class_descriptions == "labels"
    assert model.score(TEST, TRUTH) > 0.9


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Missing argument 'LABELLED'. It may be left out with --unlabelled CORPUS and the classes in"),
        (("--descriptions", "classes.json"), "Missing argument 'LABELLED'"),
        (("--descriptions", "labels", "--unlabelled", "corpus.txt"), "Missing argument 'LABELLED'"),
        (("--descriptions", "classes.json", "--unlabelled", "corpus.txt", "--cv", 2), "--cv evaluates on labelled"),
        (("labelled.csv", "--teacher", "teacher.tk"), "--teacher labels unlabelled texts: add --unlabelled"),
        (("labelled.csv", "--descriptions", "no.json"), "No such file or directory: 'no.json'"),
        (("labelled.csv", "--descriptions", "corpus.txt"), "--descriptions corpus.txt: the file is not valid JSON"),
        (("labelled.csv", "--descriptions", "encoder.tk"), "--descriptions encoder.tk: the file is not valid JSON"),
        (("labelled.csv", "--descriptions", "twice.json"), "the label 'animal' occurs twice"),
        (("labelled.csv", "--descriptions", "list.json"), 'the file must hold one object, {"label": value}'),
        (("labelled.csv", "--descriptions", "number.json"), "the value of 'animal' must be a text or a list of texts"),
        (("labelled.csv", "--descriptions", "other.json"), "Not among the labels: 'food'"),
        (("labelled.csv", "--class-prior", "sum.json"), "must sum to one"),
        (("labelled.csv", "--class-prior", "words.json"), "the value of 'animal' must be a number. Got \"much\""),
        (("labelled.csv", "--unlabelled", "blank.txt"), "'blank.txt' holds no texts"),
        (("labelled.csv", "--unlabelled", "no.txt"), "No such file or directory: 'no.txt'"),
        (("labelled.csv", "--unlabelled", "corpus.txt", "--teacher", "no.tk"), "There is no model file 'no.tk'"),
        (("labelled.csv", "--unlabelled", "corpus.txt", "--teacher", "encoder.tk"), "which predicts no classes"),
        (("labelled.csv", "--unlabelled", "corpus.txt", "--teacher", "margins.tk"), "without probabilities of its"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(args, message, finetune, tmp_path):
    code, out, error = finetune(*args)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model.tk").exists()


@pytest.mark.parametrize("excluding", ["--strategy scratch", "--source"])
def test_evidence_excludes_other_ways_to_train(excluding, files, run, tmp_path):
    options = excluding.split() if " " in excluding else [excluding, tmp_path / "source.tk"]
    options += ["-o", tmp_path / "m.tk", "--descriptions", files / "classes.json"]
    code, _, error = run("finetune", files / "labelled.csv", *options)
    assert code == 2
    assert f"--descriptions cannot be combined with {excluding}. Leave one of them out." in error


def test_classes_are_added_to_a_source(run, files, tmp_path):
    rows = ["bread and butter", "butter on bread", "a bread roll", "roll and butter", "bread", "butter"]
    (tmp_path / "new.csv").write_text("".join(["text,label\n", *[f"{text},food\n" for text in rows]]))
    old, new = tmp_path / "old.tk", tmp_path / "new.tk"
    run("finetune", files / "labelled.csv", "-e", files / "encoder.tk", "-o", old)
    _, out, _ = run("finetune", tmp_path / "new.csv", "-e", files / "encoder.tk", "--source", old, "-o", new)
    assert "Added 1 to 3 classes" in out
    model = transferkit.load(new)
    assert model.classes_.tolist() == ["animal", "food", "music", "weather"]
    assert model.predict(["a roll and bread"]).tolist() == ["food"]
    assert np.mean(model.predict(TEST) == TRUTH) > np.mean(transferkit.load(old).predict(TEST) == TRUTH) - 0.1
