"""The report of a model is one page that is complete in itself, and says what the model and its data say."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import transferkit
from transferkit import LogisticHead, MLPHeadClassifier, TfidfEncoder, TransferClassifier
from transferkit.cli._report import make_report

SAVED = Path(__file__).parent.parent / "saved"
EMPTY = {"meta", "rect", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Elements and texts of a page, whose tags must be balanced."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.rows = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def write_table(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def make_rows(n_rows, labels, seed):
    """Return texts, most of them with the word of their label."""
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(n_rows):
        label = labels[place % len(labels)]
        word = label if rng.random() < 0.8 else rng.choice(labels)
        rows.append((f"{word} {' '.join(rng.choice(['red', 'green', 'blue', 'grey'], 3))}", label))
    return rows


def fit(rows):
    texts, labels = zip(*rows, strict=True)
    return TransferClassifier(strategy="scratch", cv=3).fit(list(texts), list(labels))


@pytest.fixture
def model_path(tmp_path):
    transferkit.save(fit(make_rows(60, ["cat", "dog", "cow"], 0)), tmp_path / "model.tk")
    return tmp_path / "model.tk"


def test_page_loads_nothing_and_needs_no_scripts(model_path, run):
    data = write_table(model_path.parent / "test.csv", make_rows(30, ["cat", "dog", "cow"], 1))
    code, out, _ = run("report", model_path, "--data", data, "-o", model_path.parent / "report.html")
    assert (code, out) == (0, f"{model_path} -> {model_path.parent / 'report.html'}\n")
    html = (model_path.parent / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "a"}
    assert not any(name in ("src", "href") or name.startswith("on") for name, _ in page.attributes)
    assert "http" not in html
    assert "url(" not in html


def test_page_says_what_the_model_says(model_path, run):
    run("report", model_path, "-o", model_path.parent / "report.html", "-q")
    html = (model_path.parent / "report.html").read_text(encoding="utf-8")
    model, rows = transferkit.load(model_path), Page(html).rows
    assert model.summary_["text"] in html
    assert "Give a labelled file by --data" in html
    for label in ("cat", "dog", "cow"):
        assert [label, "20"] in rows
        terms = next(row[1] for row in rows if row[0] == label and "(" in row[1])
        expected = transferkit.top_terms(model, 10)[label][0]
        assert terms.startswith(f"{expected[0]} ({expected[1]:+.2f})")
    assert transferkit.describe(model_path).digest in html


def test_candidates_are_those_of_largest_weight_and_one_row_sums_each_strategy_and_source(model_path):
    model, n_rows = transferkit.load(model_path), 30
    weights = np.random.default_rng(0).permutation(n_rows) / sum(range(n_rows))
    table = {name: np.full(n_rows, np.nan) for name in ("evidence_factor", "alpha", "C", "mean", "standard_error")}
    table |= {name: np.full(n_rows, "") for name in ("idf", "terms")}
    table["strategy"] = np.array(["term_vectors"] * 20 + ["scratch"] * 10)
    table["evidence"] = np.array([""] * 10 + ["teacher"] * 10 + [""] * 10)
    table |= {"weight": weights, "log_loss": np.arange(n_rows) + 1.0}
    model.strategy_scores_ = table
    rows = Page(make_report(model, "model.tk", transferkit.describe(model_path), {})).rows
    sums = {tuple(row[:2]): row[3:6] for row in rows if len(row) == 7 and row[0] != "strategy"}
    assert sums == {
        ("term_vectors", ""): ["10", f"{weights[:10].sum():.3f}", "1.000"],
        ("term_vectors", "teacher"): ["10", f"{weights[10:20].sum():.3f}", "11.000"],
        ("scratch", ""): ["10", f"{weights[20:].sum():.3f}", "21.000"],
    }
    single = [row[7] for row in rows if len(row) == 11 and row[0] != "strategy"]
    assert single == [f"{weight:.3f}" for weight in np.sort(weights)[::-1][:20]]


def test_confusion_and_calibration_are_those_of_the_predictions(model_path, run):
    given = make_rows(45, ["cat", "dog", "cow"], 2)
    data = write_table(model_path.parent / "test.csv", given)
    run("report", model_path, "--data", data, "-o", model_path.parent / "report.html", "-q")
    rows = Page((model_path.parent / "report.html").read_text(encoding="utf-8")).rows
    model, texts = transferkit.load(model_path), [text for text, _ in given]
    truth, predicted = np.array([label for _, label in given]), model.predict(texts)
    start = rows.index(["true \\ predicted", "cat", "cow", "dog"])
    for place, label in enumerate(("cat", "cow", "dog")):
        counts = [str(np.sum((truth == label) & (predicted == other))) for other in ("cat", "cow", "dog")]
        assert rows[start + 1 + place] == [label, *counts]
    probabilities = model.predict_proba(texts).max(1)
    bins = [row for row in rows if re.fullmatch(r"0\.\d to \d\.\d", row[0])]
    assert sum(int(row[3]) for row in bins) == 45
    for row in bins:
        low, high = map(float, row[0].split(" to "))
        inside = (probabilities >= low) & (probabilities < high)
        assert row[1:] == [
            f"{probabilities[inside].mean():.3f}",
            f"{(predicted == truth)[inside].mean():.3f}",
            str(inside.sum()),
        ]


def test_several_files_and_labels_of_many_classes(tmp_path, run):
    labels = [f"word{place:02}" for place in range(31)]
    transferkit.save(fit(make_rows(310, labels, 0)), tmp_path / "model.tk")
    files = [write_table(tmp_path / f"{name}.csv", make_rows(62, labels, 5)) for name in ("one", "two")]
    run("report", tmp_path / "model.tk", "--data", files[0], "--data", files[1], "-o", tmp_path / "report.html", "-q")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = Page(html).rows
    assert [f"Predictions for {file}" in html for file in files] == [True, True]
    assert "true \\ predicted" not in html
    assert "310 labels of 31 classes, 10 of each." in html
    assert html.count("<details><summary>All 31 classes</summary>") == 4  # labels, one per file, terms
    place = rows.index(["true", "predicted", "texts"])
    assert int(rows[place + 1][2]) >= int(rows[place + 2][2]) > 0


def test_markup_in_names_is_text(tmp_path, run):
    labels = ["<script>alert(1)</script>", "a & 'b'"]
    texts = ["<i>good</i> film", "a bad film"] * 6
    model = TransferClassifier(TfidfEncoder(token_pattern=r"\S+"), strategy="scratch", cv=2).fit(texts, labels * 6)
    transferkit.save(model, tmp_path / "model.tk", card={"note": "<b>bold</b>"})
    data = write_table(tmp_path / "<em>.csv", zip(texts, labels * 6, strict=True))
    assert run("report", tmp_path / "model.tk", "--data", data, "-o", tmp_path / "report.html")[0] == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not set(page.tags) & {"script", "i", "b", "em"}
    assert [labels[0], "6"] in page.rows
    assert ["note", "<b>bold</b>"] in page.rows


def test_model_of_an_earlier_version_and_other_models(tmp_path, run):
    assert run("report", SAVED / "format2-text.tk", "-o", tmp_path / "report.html", "-q")[0] == 0
    assert "saved by an earlier version" in (tmp_path / "report.html").read_text(encoding="utf-8")
    texts, labels = ["a cat", "a dog", "the cat", "the dog"], [0, 1] * 2
    head = MLPHeadClassifier((4,), max_iter=2, random_state=0)
    for pipeline, text in ((make_pipeline(TfidfEncoder(), LogisticHead()), "cat ("), (None, "hidden layers")):
        pipeline = pipeline or make_pipeline(TfidfEncoder(), head)
        transferkit.save(pipeline.fit(texts, labels), tmp_path / "model.tk")
        assert run("report", tmp_path / "model.tk", "-o", tmp_path / "report.html", "-q")[0] == 0
        assert text in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_mistakes_are_one_line(model_path, run):
    folder = model_path.parent
    other = write_table(folder / "other.csv", [("a cat", "wild")])
    for arguments, message in (
        (("--data", other, "-o", folder / "report.html"), "is a class of the model"),
        (("-o", folder), "is a folder"),
        (("--data", folder / "none.csv", "-o", folder / "report.html"), "none.csv"),
    ):
        code, out, error = run("report", model_path, *arguments)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert message in error
    assert not (folder / "report.html").exists()
