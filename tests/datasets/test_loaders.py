"""Loaders read files of all kinds, and errors name the file and the line that cannot be read."""

import csv
import gzip
import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.datasets import load_corpus, load_labelled_csv
from transferkit.datasets._loaders import read_texts


def write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_labelled_csv(name, tmp_path):
    path = write(tmp_path / name, '\ufefftext,other,label\r\n"two\nlines, ""quoted""",x,b\r\n-,y,a\r\nlast,z,b\r\n')
    bunch = load_labelled_csv(path)
    assert bunch.data == ['two\nlines, "quoted"', "-", "last"]
    assert bunch.target.tolist() == ["b", "a", "b"]
    assert bunch.target_names == ["a", "b"]


def test_tab_separated_columns_of_other_names(tmp_path):
    path = write(tmp_path / "data.tsv", "review\tstars\na, b\t5\n")
    bunch = load_labelled_csv(path, text="review", label="stars")
    assert (bunch.data, bunch.target.tolist()) == (["a, b"], ["5"])


def test_very_long_text_is_read(tmp_path):
    path = write(tmp_path / "data.csv", f"text,label\n{'x' * 300_000},a\n")
    assert len(load_labelled_csv(path).data[0]) == 300_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,reason\na,1\n", r"has no column 'label'. Its columns are: \['text', 'reason'\]"),
        ("", "holds no rows"),
        ("text,label\n", "holds no rows below its column names"),
        ("text,label\na,1\nb,\n", "The label in line 3 of .* is empty"),
        ("text,label\na,1\nb\n", "Line 3 of .* has 1 fields; the header has 2"),
        (
            'text,label\nb,1\n"a,1\nc,2\n',
            "row that begins on line 3 of .* is not CSV: a quote is opened in it and never closed",
        ),
        ('text,label\n"a\nb" c,1\n', r"Line 3 of .* is not CSV: .* \(the row begins on line 2\)"),
        ('text,label\n"a\nb",1,2\n', "Line 2 of .* has 3 fields; the header has 2. Enclose fields that contain ',' in"),
        ("text,text,label\na,b,1\n", "has 2 columns 'text': rename all but one"),
        ("text,label\na, \n", "The label in line 2 of .* is empty"),
    ],
)
def test_bad_tables_are_named(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_labelled_csv(write(tmp_path / "data.csv", content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", "text,label\na,x\nb,\nc, \nd,y\n"),
        ("data.tsv", "label\ttext\nx\ta\n\tb\n \tc\ny\td\n"),
        (
            "data.jsonl",
            "\n".join(json.dumps({"text": t, "label": x}) for t, x in [("a", "x"), ("b", None), ("c", ""), ("d", "y")]),
        ),
    ],
)
def test_rows_without_a_label_are_skipped_if_asked_for(name, content, tmp_path):
    path = write(tmp_path / name, content)
    data = load_labelled_csv(path, skip_unlabelled=True)
    assert (data.data, data.target.tolist(), data.n_unlabelled) == (["a", "d"], ["x", "y"], 2)
    with pytest.raises(ValueError, match="is empty"):
        load_labelled_csv(path)


def test_a_table_without_any_label_is_named(tmp_path):
    path = write(tmp_path / "data.csv", "text,topic\na,\nb, \n")
    with pytest.raises(ValueError, match=r"No row of .* has a label: the column 'topic' is empty in all 2 rows"):
        load_labelled_csv(path, label="topic", skip_unlabelled=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("corpus.txt", "one\n\n  \ntwo words\r\n"),
        ("corpus.txt.gz", "one\ntwo words"),
        ("corpus.csv", "id,text\n1,one\n2,two words\n"),
        ("corpus.tsv.gz", "text\tid\none\t1\ntwo words\t2\n"),
        ("corpus.jsonl", json.dumps({"text": "one"}) + "\n\n" + json.dumps({"text": "two words", "n": 1}) + "\n"),
    ],
)
def test_corpus_of_each_kind(name, content, tmp_path):
    assert load_corpus(write(tmp_path / name, content)) == ["one", "two words"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.pdf", "x", "A corpus is a .txt, .csv, .tsv, .jsonl, .json, .xlsx or .parquet file"),
        ("corpus.txt", " \n", "holds no texts"),
        ("corpus.jsonl", '{"text": "a"}\n{"text"\n', "Line 2 of .* is not JSON"),
        (
            "corpus.jsonl",
            '{"text": "a"}\n{"body": "a"}\n',
            r"Line 2 of .* has no text under 'text'. It has: \['body'\]",
        ),
        ("corpus.jsonl", "3\n", "Line 1 of .* is no object with keys for the text and others, but: int"),
        ("corpus.csv", "id\n1\n", r"has no column 'text'. Its columns are: \['id'\]"),
        ("corpus.txt", b"\xff\xfe", "holds no texts"),
        ("corpus.jsonl", '{"text": null}\n', "Line 1 of .* has null under 'text', where a text is expected"),
        ("corpus.jsonl", '{"text": "a"}\n{"text": [1, 2]}\n', r"Line 2 of .* has \[1, 2\] under 'text'"),
        ("corpus.jsonl", "[" * 100_000 + "\n", "Line 1 of .* is not JSON"),
        ("corpus.jsonl", '{"text": ' + "9" * 5000 + "}\n", "Line 1 of .* is not JSON"),
        (
            "corpus.jsonl",
            '{"text": "a"}\n{"text": "\\ud83d"}\n',
            r"Line 2 of .* holds \\ud83d, which is half a character",
        ),
    ],
)
def test_bad_corpora_are_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_corpus(path)


def test_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_corpus(tmp_path / "no.txt")


def test_real_corpora_load(shared_data):
    bunch = load_labelled_csv(shared_data / "trec" / "train.csv.gz")
    assert len(bunch.data) == 5452
    assert len(bunch.target_names) == 6
    assert np.unique(bunch.target).tolist() == bunch.target_names


# --- quotes ---


def test_quotes_mean_nothing_between_tabs_unless_asked(tmp_path):
    rows = 'text\tlabel\n"great movie\tpos\nbad\tneg\nawful\tneg\nnot good"\tneg\n"hi" he said\tneg\n'
    bunch = load_labelled_csv(write(tmp_path / "data.tsv", rows))
    assert bunch.data == ['"great movie', "bad", "awful", 'not good"', '"hi" he said']
    assert bunch.target.tolist() == ["pos", "neg", "neg", "neg", "neg"]
    assert load_corpus(tmp_path / "data.tsv") == bunch.data
    quoted = write(tmp_path / "quoted.tsv", 'text\tlabel\r\n"two\nlines\tand ""tab"""\t"a"\r\n')
    assert load_labelled_csv(quoted, quoting=True).data == ['two\nlines\tand "tab"']
    half = write(tmp_path / "half.tsv", 'text\tlabel\n"two\nlines"\ta\n')
    with pytest.raises(ValueError, match=r"Line 2 of .* has 1 fields; the header has 2. If quotes enclose"):
        load_corpus(half)


def test_quoted_names_between_tabs_show_that_quotes_enclose_fields(tmp_path):
    path = write(tmp_path / "quoted.tsv", '"text"\t"label"\r\n"two\nlines\tand ""tab"""\t"a"\r\n')
    assert load_labelled_csv(path).data == ['two\nlines\tand "tab"']
    with pytest.raises(ValueError, match=r"Line 2 of .* has 1 fields; the header has 2"):
        load_labelled_csv(path, quoting=False)


def test_quotes_between_commas_can_be_characters(tmp_path):
    path = write(tmp_path / "data.csv", 'text,label\n"open,a\nfive" long,b\n')
    assert load_labelled_csv(path, quoting=False).data == ['"open', 'five" long']


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\t\n", codec="utf-8")), st.sampled_from(["pos", "neg"])),
        min_size=1,
    )
)
@pytest.mark.filterwarnings("ignore::transferkit.exceptions.DataWarning")
def test_every_line_between_tabs_is_a_row(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.tsv"
    path.write_bytes("".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *rows]).encode())
    bunch = load_labelled_csv(path)
    assert list(zip(bunch.data, bunch.target.tolist(), strict=True)) == rows


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.sampled_from(["pos", "neg"])), min_size=1))
@pytest.mark.filterwarnings("ignore::transferkit.exceptions.DataWarning")
def test_csv_that_was_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    bunch = load_labelled_csv(path)
    assert list(zip(bunch.data, bunch.target.tolist(), strict=True)) == rows


# --- lines and blanks ---


def test_only_newlines_end_lines_of_text(tmp_path):
    content = "a\rb\nform\x0cfeed\nnext\x85line\u2028separator\r\n\n \nlast\x00"
    lines = ["a\rb", "form\x0cfeed", "next\x85line\u2028separator", "last\x00"]
    assert load_corpus(write(tmp_path / "a.txt", content)) == lines
    found = read_texts(tmp_path / "a.txt", keep_blank=True)
    assert found.texts == [*lines[:3], "", " ", lines[3]]
    assert (found.n_blank, read_texts(tmp_path / "a.txt").n_blank) == (0, 2)


def test_lines_longer_than_what_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("transferkit.datasets.files._CHUNK", 3)
    content = "abcdefghij\r\nklm\nn\r\n\r\nöäü€𝄞\n"
    assert load_corpus(write(tmp_path / "a.txt", content)) == ["abcdefghij", "klm", "n", "öäü€𝄞"]
    path = write(tmp_path / "a.csv", 'text\r\n"one\r\ntwo"\r\nthree\rfour\r\n')
    assert load_corpus(path) == ["one\r\ntwo", "three", "four"]


def test_blank_line_of_one_column_can_be_an_empty_text(tmp_path):
    path = write(tmp_path / "a.csv", "text\none\n\ntwo\n")
    assert read_texts(path).texts == ["one", "two"]
    assert read_texts(path).n_blank == 1
    assert read_texts(path, keep_blank=True) == (["one", "", "two"], [[], [], []], 0, [], 0, "text")


def test_other_columns_come_along_as_they_are(tmp_path):
    path = write(tmp_path / "a.csv", "id,text,n\n7,one,1\n8,two,\n")
    assert read_texts(path, others=["n", "id"]).others == [["1", "7"], ["", "8"]]
    rows = [{"text": "one", "id": 7, "tags": ["ö"]}, {"text": "two", "id": None, "tags": True}]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_texts(path, others=["id", "tags"]).others == [[7, ["ö"]], [None, True]]
    assert read_texts(path, others=None)[1:] == ([[7, ["ö"]], [None, True]], 0, ["id", "tags"], 0, "text")
    with pytest.raises(ValueError, match=r"has no column 'date'. Its columns are: \['text', 'id', 'tags'\]"):
        read_texts(path, others=["date"])
    with pytest.raises(ValueError, match="has one text per line and no column 'id'"):
        read_texts(write(tmp_path / "a.txt", "one\n"), others=["id"])


def test_all_other_columns_come_along_in_their_order(tmp_path):
    path = write(tmp_path / "a.csv", "id,text,n\n7,one,1\n8,two,\n")
    assert read_texts(path, others=None) == (["one", "two"], [["7", "1"], ["8", ""]], 0, ["id", "n"], 1, "text")
    rows = [{"text": "one", "n": 1}, {"id": 7, "text": "two"}]  # keys come and go
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_texts(path, others=None)[1:] == ([[1, None], [None, 7]], 0, ["n", "id"], 0, "text")
    assert read_texts(write(tmp_path / "a.txt", "one\n"), others=None)[1:] == ([[]], 0, [], 0, "text")


# --- labels ---


def test_labelled_json_lines(tmp_path):
    rows = [("a", "x"), ("b", 1), ("c", 1.5), ("d", True)]
    path = write(tmp_path / "a.jsonl.gz", "".join(json.dumps({"t": t, "y": y}) + "\n" for t, y in rows))
    bunch = load_labelled_csv(path, text="t", label="y")
    assert bunch.data == ["a", "b", "c", "d"]
    assert bunch.target.tolist() == ["x", "1", "1.5", "true"]


@pytest.mark.parametrize("label", ["null", "NaN", "[1]", '{"a": 1}', '""', '" "', "Infinity"])
def test_label_that_is_none_is_named(label, tmp_path):
    path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": "x"}}\n\n{{"text": "b", "label": {label}}}\n')
    with pytest.raises(ValueError, match=r"The label in line 3 of .* is"):
        load_labelled_csv(path)


# --- encodings ---


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("asked", ["utf-8", "utf-16", "latin-1"])
def test_byte_order_mark_determines_the_encoding(encoding, asked, tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufefftext,label\nnaïve Ω,ä\n".encode(encoding))
    bunch = load_labelled_csv(tmp_path / "a.csv", encoding=asked)
    assert (bunch.data, bunch.target_names) == (["naïve Ω"], ["ä"])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "gbk", "shift-jis", "utf-7"])
def test_requested_encoding(encoding, tmp_path):
    text = "字" if encoding in ("gbk", "shift-jis") else "café"
    (tmp_path / "a.txt").write_bytes(f"{text}\n{text}\n".encode(encoding))
    assert load_corpus(tmp_path / "a.txt", encoding=encoding) == [text, text]


@pytest.mark.parametrize("chunk", [4, 1 << 20])
@pytest.mark.parametrize(
    ("content", "encoding", "place"),
    [
        (b"text,label\ncaf\xe9,a\n", "utf-8", "is not UTF-8: byte 14, on line 2, is 0xe9"),
        ("\ufefftext\n".encode() + b"\xf0\x9f", "utf-8", "is not UTF-8: byte 8, on line 2, is 0xf0"),
        ("字\n字".encode("gbk") + b"\xff", "gbk", "is not GBK: byte 5, on line 2, is 0xff"),
        ("a\nb".encode("utf-16-le") + b"\x00\xd8", "utf-16-le", "is not UTF-16-LE: byte 6, on line 2, is 0x00"),
    ],
)
def test_byte_of_another_encoding_is_found(content, encoding, place, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("transferkit.datasets.files._CHUNK", chunk)
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"The file .*a.txt' {place}.* encoding='latin-1'"):
        load_corpus(tmp_path / "a.txt", encoding=encoding)


def test_bytes_of_another_encoding_can_be_replaced_or_dropped(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"na\xe9\n")
    assert load_corpus(tmp_path / "a.txt", errors="replace") == ["na\ufffd"]
    assert load_corpus(tmp_path / "a.txt", errors="ignore") == ["na"]
    path = write(tmp_path / "a.jsonl", '{"text": "half \\ud83d"}\n{"text": "\\ud83d\\ude00"}\n')
    assert load_corpus(path, errors="replace") == ["half \ufffd", "\N{GRINNING FACE}"]
    assert load_corpus(path, errors="ignore") == ["half ", "\N{GRINNING FACE}"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(encoding, tmp_path):
    (tmp_path / "a.txt").write_bytes("a text\n".encode(encoding))
    with pytest.raises(
        ValueError, match=f"is not text in UTF-8: 7 of its first 14 bytes are zero.* encoding='{encoding}'"
    ):
        load_corpus(tmp_path / "a.txt", encoding="utf-8")
    assert load_corpus(tmp_path / "a.txt") == load_corpus(tmp_path / "a.txt", encoding=encoding) == ["a text"]


def test_encodings_and_error_handlers_that_do_not_exist_are_named(tmp_path):
    path = write(tmp_path / "a.txt", "")
    for encoding in ("nonsense", "hex", "rot13"):
        with pytest.raises(ValueError, match=f"Unknown encoding '{encoding}'"):
            load_corpus(path, encoding=encoding)
    with pytest.raises(ValueError, match=r"The 'errors' parameter must be 'strict'.* Got 'nonsense'"):
        load_corpus(path, errors="nonsense")


@pytest.mark.parametrize(
    "damage", [lambda data: b"a text\n", lambda data: data[:-9], lambda data: data[:10] + b"\xff" * 4 + data[14:]]
)
def test_damaged_gzip_file_is_named(damage, tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(damage(gzip.compress(b"a text\n" * 500)))
    with pytest.raises(ValueError, match=r"The file '.*a.txt.gz' is damaged or not gzipped"):
        load_corpus(tmp_path / "a.txt.gz")


# --- anything else ---


@pytest.mark.parametrize("name", ["any.csv", "any.tsv", "any.jsonl", "any.json", "any.txt", "any.csv.gz"])
@given(content=st.binary() | st.text(st.sampled_from('text,label;\t\n\r"{}[]:1 aé')).map(str.encode))
@pytest.mark.filterwarnings("ignore::transferkit.exceptions.DataWarning")
def test_any_file_is_read_or_named(name, content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    assert reads_or_names(load_corpus, path)
    assert reads_or_names(load_labelled_csv, path)


def reads_or_names(read, path):
    try:
        return len(read(path)) > 0
    except ValueError as error:
        return repr(str(path)) in str(error)


# --- threads ---


def test_threads_read_long_fields_and_leave_the_limit_as_it_was(tmp_path):
    limit, errors = csv.field_size_limit(), []
    path = write(tmp_path / "data.csv", "text,label\n" + f"{'x' * (limit + 1)},a\n" * 3)
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        try:
            for _ in range(5):
                load_labelled_csv(path)
        except ValueError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert csv.field_size_limit() == limit


def test_limit_that_other_code_sets_meanwhile_stays(tmp_path, monkeypatch):
    from transferkit.datasets._delimited import _unlimited_fields

    before = csv.field_size_limit()
    try:
        with _unlimited_fields():
            csv.field_size_limit(7)
        assert csv.field_size_limit() == 7
    finally:
        csv.field_size_limit(before)
