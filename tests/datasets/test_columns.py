"""Columns of texts and labels are guessed where no other can be meant, and this is reported; else all are listed."""

import json
import warnings

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv
from transferkit.exceptions import DataWarning

TEXTS = ["where is my new card", "my card has not arrived yet", "how do I top up", "top up failed again today"]
LABELS = ["arrival", "arrival", "top_up", "top_up"]
TITLES = ["lost", "late", "help", "failed"]


def write(path, **columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("\n".join(";".join(map(str, row)) for row in [columns, *(row.values() for row in rows)]))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"label": LABELS, "Frage": TITLES}, "Frage", "label"),  # the only other column
        ({"id": [1, 2, 3, 4], "label": LABELS, "Frage": TITLES}, "Frage", "label"),  # the only one with letters
        ({"title": TITLES, "label": LABELS, "body": TEXTS}, "body", "label"),  # the only one that looks like texts
        ({"text": TEXTS, "id": [1, 2, 3, 4], "Intent": LABELS}, "text", "Intent"),  # a usual name
        ({"Nr": [1, 2, 3, 4], "Text ": TEXTS, "Category": LABELS}, "Text ", "Category"),
        ({"Thema": LABELS, "Frage": TITLES}, "Frage", "Thema"),  # the one of two whose values repeat
        ({"text": TEXTS, "Thema": LABELS}, "text", "Thema"),
    ],
)
def test_columns_that_must_be_meant_are_guessed_and_reported(name, columns, text, label, tmp_path):
    path = write(tmp_path / name, **columns)
    with pytest.warns(DataWarning) as warned:
        found = load_labelled_csv(path)
    assert (found.data, found.target.tolist()) == (columns[text], LABELS)
    assert (found.text_column, found.label_column) == (text, label)
    (message,) = (str(warning.message) for warning in warned)
    assert (f"texts are those of the column {text!r}" in message) == (text.strip() != "Text" and text != "text")
    assert (f"labels are those of the column {label!r}" in message) == (label != "label")
    with warnings.catch_warnings(action="error"):
        assert load_labelled_csv(path, text=text, label=label).data == found.data


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": TEXTS, "a": LABELS, "b": LABELS}, r"no column 'label'. Its columns are: \['text', 'a', 'b'\]"),
        ({"text": TEXTS, "id": [1, 2, 3, 4], "a": LABELS}, "no column 'label'"),
        ({"text": TEXTS, "topic": LABELS, "intent": LABELS}, "no column 'label'. .* label='text'"),
        ({"text": TEXTS, "title": TITLES}, "no column 'label'"),  # its values do not repeat
        ({"a": LABELS, "b": LABELS}, "no column 'label'"),
        (
            {"label": LABELS, "body": TEXTS, "answer": TEXTS},
            r"several that look like texts: \['body', 'answer'\]",
        ),
        ({"label": LABELS, "a": TITLES, "b": TITLES}, "no column 'text'. Its columns are"),
        ({"label": LABELS, "id": [1, 2, 3, 4]}, "no column 'text'"),
        ({"label": LABELS, "text": TEXTS, "Text": TEXTS, "text ": TEXTS}, None),  # the exact name
        ({"label": LABELS, "TEXT": TEXTS, "Text": TEXTS}, "has 2 columns 'text': rename all but one"),
    ],
)
def test_ambiguous_columns_are_listed(columns, message, tmp_path):
    path = write(tmp_path / "t.csv", **columns)
    if message is None:
        assert load_labelled_csv(path).text_column == "text"
        return
    with pytest.raises(ValueError, match=message):
        load_labelled_csv(path)


@pytest.mark.parametrize(
    "content", ["ham\tgo until later\nspam\tfree entry\nham\tok\nham\tfine\n", "free entry in two weeks\nok then\n"]
)
def test_a_table_without_names_of_columns_is_an_error(content, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=r"first row looks like one of the data.* Put a row above it"):
        load_labelled_csv(tmp_path / "t.csv") if "\t" in content else load_corpus(tmp_path / "t.csv")


def test_keys_of_objects_are_never_data(tmp_path):
    path = write(tmp_path / "t.jsonl", intent=["intent", "arrival", "intent", "arrival"], query=TITLES)
    with pytest.warns(DataWarning, match="labels are those of the column 'intent'"):
        assert load_labelled_csv(path).data == TITLES


def test_a_guessed_column_that_is_there_twice_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("query;label;query\nlost;x;late\n")
    with pytest.raises(ValueError, match="has 2 columns 'query': rename all but one"):
        load_labelled_csv(tmp_path / "t.csv")


def test_the_only_column_of_a_corpus_is_no_guess(tmp_path):
    with warnings.catch_warnings(action="error"):
        assert load_corpus(write(tmp_path / "t.csv", review=TITLES)) == TITLES
    chinese = ["小猫在家里睡觉", "小狗在家里吃饭", "股票今天上涨了", "股票昨天下跌了"]
    with pytest.warns(DataWarning, match="column '句'"):
        assert load_corpus(write(tmp_path / "t.csv", 题=["小猫", "小狗", "股票", "钱包"], 句=chinese)) == chinese


def test_usual_names_of_labels_are_none_of_texts(tmp_path):
    path = write(tmp_path / "t.csv", Intent=LABELS, query=TITLES, id=[1, 2, 3, 4])
    with pytest.warns(DataWarning, match="texts are those of the column 'query'"):
        assert load_corpus(path) == TITLES


def test_a_given_name_is_not_replaced_by_a_guess(tmp_path):
    path = write(tmp_path / "t.csv", body=TEXTS, label=LABELS)
    with pytest.raises(ValueError, match=r"no column 'text'. Its columns are: \['body', 'label'\]"):
        load_labelled_csv(path, text="text")
    assert load_labelled_csv(path, text=" Body ", label="LABEL").data == TEXTS  # blanks and case are forgiven
