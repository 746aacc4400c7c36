"""Tables with any separator are read, as spreadsheets, databases and other countries write them."""

import csv

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv

ROWS = [["a text, with commas", "3,50", "pos"], ['quoted; "so"', "4,00", "neg"], ["two\nlines | of\ttext", "5", "pos"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.tsv"])
def test_separator_is_detected_by_the_first_lines(name, separator, end, tmp_path):
    with open(tmp_path / name, "w", newline="") as file:
        style = {"delimiter": separator, "lineterminator": end}
        csv.writer(file, **style, quoting=csv.QUOTE_ALL).writerow(["text", "price", "label"])
        csv.writer(file, **style).writerows(ROWS * 50)
    quoting = True if name == "t.tsv" else None  # quoted names say so only between tabs
    found = load_labelled_csv(tmp_path / name, quoting=quoting)
    assert found.data == [row[0] for row in ROWS] * 50
    assert found.target.tolist() == ["pos", "neg", "pos"] * 50
    assert found.sep == separator


@pytest.mark.parametrize("declared", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_first_line_of_excel_declares_the_separator(declared, mark, tmp_path):
    (tmp_path / "t.csv").write_bytes(f"{mark}{declared}\r\ntext;label\r\na, b;x\r\n".encode())
    found = load_labelled_csv(tmp_path / "t.csv")
    assert (found.data, found.target.tolist(), found.sep) == (["a, b"], ["x"], ";")
    (tmp_path / "t.csv").write_text(f"{declared}\ntext;label\na;x\nb\n")
    with pytest.raises(ValueError, match=r"Line 4 of .* has 1 fields; the header has 2"):
        load_labelled_csv(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("text,label\na;b,c;d\n", ","),  # only commas in the header
        ("text;a,b,c;label\nx;1,2;y\nz;3;y\n", ";"),  # commas do not give equally many fields
        ("text,id;a;label\nx,1;2;y\n", ";"),  # both do, semicolons more
        ("text,a;label\nx,1;y\n", ","),  # both do, equally many: the default
    ],
)
def test_separator_is_the_one_that_splits_best(content, separator, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    columns = content.split("\n")[0].split(separator)
    found = load_labelled_csv(tmp_path / "t.csv", text=columns[0], label=columns[-1])
    assert found.sep == separator


@pytest.mark.parametrize(("sep", "separator"), [("tab", "\t"), ("\\t", "\t"), ("Semicolon", ";"), ("~", "~")])
def test_separator_can_be_named(sep, separator, tmp_path):
    (tmp_path / "t.csv").write_text(f"text{separator}label\na,b{separator}x\n")
    assert load_labelled_csv(tmp_path / "t.csv", sep=sep).data == ["a,b"]
    for wrong in (";;", "", '"', "\n"):
        with pytest.raises(ValueError, match="a separator is one character, such as ';', or the word tab"):
            load_labelled_csv(tmp_path / "t.csv", sep=wrong)


def test_a_table_without_separators_has_one_column(tmp_path):
    (tmp_path / "t.csv").write_text("text\na;b\nc;d;e\n")
    assert load_corpus(tmp_path / "t.csv") == ["a;b", "c;d;e"]


def test_empty_fields_and_rows_that_spreadsheets_add_are_dropped(tmp_path):
    (tmp_path / "t.csv").write_text(";\ntext;label\na;x;;\n;\nb;y\n;;;\n")
    assert load_labelled_csv(tmp_path / "t.csv").data == ["a", "b"]
    (tmp_path / "t.csv").write_text("text;label\na;x;;z\n")
    with pytest.raises(ValueError, match=r"Line 2 of .* has 4 fields; the header has 2"):
        load_labelled_csv(tmp_path / "t.csv")
