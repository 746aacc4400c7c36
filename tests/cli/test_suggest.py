"""`suggest` writes a table of texts to label, which `finetune` takes once some labels are filled in."""

import csv

import pytest

import transferkit
from tests.selection.test_suggest_labels import LABELS, TEXTS

LABEL_OF = dict(zip(TEXTS, LABELS.tolist(), strict=True))


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("suggest") / "encoder.tk"
    transferkit.save(transferkit.WordVectorEncoder(n_components=6, min_count=1).fit(TEXTS), path)
    return path


@pytest.fixture
def suggest(run, encoder_file, tmp_path, monkeypatch):
    """Return a function that runs `suggest` in a folder with the corpus."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))

    def suggest(*args, corpus="corpus.txt", output="to_label.csv"):
        return run("suggest", corpus, "--encoder", encoder_file, "-o", output, *args)

    return suggest


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(path, n, **names):
    """Fill in the labels of the first rows of a table."""
    rows = read(path)
    for row in rows[:n]:
        row["label"] = LABEL_OF[row["text"]]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def finetune(run, encoder_file, *tables):
    return run("finetune", *tables, "-e", encoder_file, "-o", "model.tk", "--strategy", "frozen")


def test_the_loop_from_no_label_to_a_model(suggest, run, encoder_file):
    assert suggest("-n", 8) == (0, "8 of 90 texts to label -> to_label.csv\n", "")
    rows = read("to_label.csv")
    assert [row["label"] for row in rows] == [""] * 8
    assert {LABEL_OF[row["text"]] for row in rows} == {"pets", "money", "music"}
    assert rows[0]["reason"].startswith("typical: nearest to ")

    fill_in("to_label.csv", 6)
    code, out, error = finetune(run, encoder_file, "to_label.csv")
    assert (code, error) == (0, "to_label.csv: ignored 2 rows without a label.\n")
    assert out.startswith("fine-tuned on 6 texts of ")

    code, out, error = suggest("--model", "model.tk", "--labelled", "to_label.csv", "-n", 4, output="next.csv")
    assert (code, out) == (0, "4 of 90 texts to label -> next.csv\n")
    assert error == "to_label.csv: ignored 2 rows without a label.\n"
    more = read("next.csv")
    assert {row["text"] for row in more}.isdisjoint(row["text"] for row in rows[:6])
    assert all("'" in row["reason"] for row in more)  # classes of the model

    fill_in("next.csv", 4)
    code, out, _ = finetune(run, encoder_file, "to_label.csv", "next.csv")
    assert code == 0
    assert out.startswith("fine-tuned on 10 texts of 3 classes")


def test_suggestions_are_those_of_the_function(suggest, encoder_file):
    suggest("-n", 5, "--quiet")
    expected = transferkit.suggest_labels(TEXTS, 5, encoder=encoder_file)
    assert [row["text"] for row in read("to_label.csv")] == [TEXTS[i] for i in expected["index"]]
    assert [row["reason"] for row in read("to_label.csv")] == expected["reason"].tolist()


def test_one_table_may_hold_the_corpus_and_the_labels(suggest, tmp_path):
    rows = ["text,label", *(f"{text},{LABEL_OF[text] if i < 5 else ''}" for i, text in enumerate(TEXTS))]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    code, _, _ = suggest("--labelled", "all.csv", "-n", 5, corpus="all.csv")
    assert code == 0
    assert {row["text"] for row in read("to_label.csv")}.isdisjoint(TEXTS[:5])


def test_texts_with_breaks_and_quotes_survive(suggest, run, encoder_file, tmp_path):
    texts = ['cat, "dog"\ncow tail', "stock\rbond fund price", "song\r\ndrum flute chord"]
    with open(tmp_path / "corpus.csv", "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    assert suggest("-n", 3, corpus="corpus.csv")[0] == 0
    rows = read("to_label.csv")
    assert sorted(row["text"] for row in rows) == sorted(texts)
    found = transferkit.datasets.load_corpus("to_label.csv")
    assert found == [row["text"] for row in rows]


def test_other_names_of_columns(suggest, run, encoder_file, tmp_path):
    (tmp_path / "corpus.csv").write_text("\n".join(["body", *TEXTS]))
    names = ("--text-column", "body", "--label-column", "subject")
    assert suggest("-n", 6, *names, corpus="corpus.csv")[0] == 0
    assert list(read("to_label.csv")[0]) == ["body", "subject", "reason"]


def test_a_table_without_any_label_is_named(suggest, run, encoder_file):
    suggest("-n", 8)
    code, _, error = finetune(run, encoder_file, "to_label.csv")
    assert code == 2
    assert "No row of 'to_label.csv' has a label: the column 'label' is empty in all 8 rows." in error


def test_labels_are_not_overwritten(suggest):
    suggest("-n", 4)
    before = read("to_label.csv")
    code, _, error = suggest("-n", 8)
    assert code == 2
    assert "this file exists, and may hold labels" in error
    assert read("to_label.csv") == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-n", 91), "-n 91 suggestions"),
        (("-n", 0), "Invalid value for '-n'"),
        (("--method", "uncertain"), "needs a model"),
        (("--model", "missing.tk"), "missing.tk"),
        (("--model", "ENCODER"), "predicts no classes"),
        (("--labelled", "corpus.txt"), "no column"),
        (("--labelled", "missing.csv"), "missing.csv"),
        (("--label-column", "reason"), "must differ"),
        (("--output", "to_label.jsonl"), "ends in .csv"),
        (("--output", "nowhere/to_label.csv"), "does not exist"),
    ],
)
def test_wrong_arguments_are_named(arguments, words, suggest, encoder_file):
    code, _, error = suggest(*(encoder_file if value == "ENCODER" else value for value in arguments))
    assert code == 2
    assert words in error
    assert error.count("\n") == 1


def test_an_encoder_of_numbers_is_named(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    transferkit.save(transferkit.KMeansEncoder(2).fit([[0.0], [1.0], [2.0]]), "rows.tk")
    code, _, error = run("suggest", "corpus.txt", "-e", "rows.tk", "-o", "to_label.csv", "-n", 2)
    assert code == 2
    assert "the unlabelled texts cannot be encoded" in error
