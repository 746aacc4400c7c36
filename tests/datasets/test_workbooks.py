"""Workbooks, Parquet files and lists of JSON give the same texts and labels as a CSV file."""

import datetime
import json
import sys

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv, read_texts
from transferkit.exceptions import DataWarning, MissingExtraError

pd = pytest.importorskip("pandas")
pytest.importorskip("openpyxl")
pytest.importorskip("pyarrow")
pytest.importorskip("python_calamine")
FRAME = pd.DataFrame(
    {
        "id": [7, 8, 9],
        "text": ["two\nlines, 小猫", "a; b", "last"],
        "label": [1, 0, 1],
        "when": [datetime.datetime(2024, 5, 1), datetime.datetime(2024, 5, 2, 3, 4), None],
        "price": [1.5, 2.0, None],
    }
)
WRITERS = {
    "xlsx": lambda frame, path: frame.to_excel(path, index=False),
    "parquet": lambda frame, path: frame.to_parquet(path),
    "json": lambda frame, path: path.write_text(json.dumps(frame[["id", "text", "label"]].to_dict("records"))),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_tables_of_each_kind_are_read(kind, tmp_path):
    path = tmp_path / f"t.{kind}"
    WRITERS[kind](FRAME, path)
    found = load_labelled_csv(path)
    assert (found.data, found.target.tolist()) == (FRAME["text"].tolist(), ["1", "0", "1"])
    assert load_corpus(path) == found.data
    texts = read_texts(path, others=None)
    assert texts.names[:2] == ["id", "label"]
    assert [row[:2] for row in texts.others] == [[7, 1], [8, 0], [9, 1]]
    if kind != "json":
        expected = [["2024-05-01", 1.5], ["2024-05-02T03:04:00", 2], [None, None]]
        assert [row[2:] for row in texts.others] == expected
    with pytest.raises(ValueError, match=r"has no column 'topic'. Its columns are: \['id', 'text', 'label'"):
        load_labelled_csv(path, label="topic")


def test_blank_rows_and_further_sheets_of_a_workbook_are_left_out(tmp_path):
    with pd.ExcelWriter(tmp_path / "t.xlsx") as writer:
        pd.DataFrame([[None, None], ["text", "label"], ["a", "x"], [None, None], [3, "y"], ["b", None]]).to_excel(
            writer, sheet_name="first", index=False, header=False
        )
        FRAME.to_excel(writer, sheet_name="second", index=False)
    found = load_labelled_csv(tmp_path / "t.xlsx", skip_unlabelled=True)
    assert (found.data, found.target.tolist(), found.n_unlabelled) == (["a", "3"], ["x", "y"], 1)
    with pytest.raises(ValueError, match=r"The label in row 6 of .* is empty"):
        load_labelled_csv(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"text,label\n", "is no workbook"),
        ("t.xlsx", b"", "is no workbook"),
        ("t.parquet", b"text,label\n", "is no Parquet file"),
        ("t.json", b'[{"text": "a"},', "The file .* is not JSON"),
        ("t.json", b'[{"text": "a", "label": "x"}, 3]', "Item 2 of .* is no object"),
        ("t.json", b'{"text": {"0": "a"}, "label": {}}', "Line 1 of .* where a text is expected"),
    ],
)
def test_damaged_files_are_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_labelled_csv(tmp_path / name)


def test_titles_above_the_names_of_columns_are_left_out(tmp_path):
    rows = [["Report", None], [None, None], ["text", "label"], ["a", "x"], ["b", "x"], [None, "y"]]
    pd.DataFrame(rows).to_excel(tmp_path / "t.xlsx", index=False, header=False)
    with pytest.warns(DataWarning, match="1 of 3 texts is empty, the first in row 6"):
        assert load_labelled_csv(tmp_path / "t.xlsx").data == ["a", "b", ""]
    FRAME[["text"]].to_excel(tmp_path / "t.xlsx")  # with a column of numbers that has no name
    assert load_corpus(tmp_path / "t.xlsx") == FRAME["text"].tolist()
    pd.DataFrame(["text", "one", None, "two"]).to_excel(tmp_path / "t.xlsx", index=False, header=False)
    assert load_corpus(tmp_path / "t.xlsx") == ["one", "two"]


@pytest.mark.parametrize("orient", ["records", "columns", "list"])
def test_json_of_pandas_is_read(orient, tmp_path):
    frame = FRAME[["id", "text", "label"]]
    if orient == "list":
        (tmp_path / "t.json").write_text(json.dumps(frame.to_dict("list")))
    else:
        frame.to_json(tmp_path / "t.json", orient=orient)
    assert load_labelled_csv(tmp_path / "t.json").data == FRAME["text"].tolist()


def test_json_with_one_object_per_line_may_have_the_extension_json(tmp_path):
    (tmp_path / "t.json").write_text('{"text": "a", "label": "x"}\n\n{"text": "b", "label": "y"}\n')
    assert load_labelled_csv(tmp_path / "t.json").data == ["a", "b"]


def test_columns_of_lists_in_parquet_are_left_out(tmp_path):
    FRAME.assign(vector=[[1.0, 2.0]] * 3).to_parquet(tmp_path / "t.parquet")
    assert "vector" not in read_texts(tmp_path / "t.parquet", others=None).names


@pytest.mark.parametrize(("kind", "module"), [("xlsx", "python_calamine"), ("parquet", "pyarrow")])
def test_a_missing_package_is_named_with_the_command(kind, module, tmp_path, monkeypatch):
    WRITERS[kind](FRAME, tmp_path / f"t.{kind}")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"t\.\w+' needs .* pip install 'transferkit\[tables\]'"):
        load_corpus(tmp_path / f"t.{kind}")
