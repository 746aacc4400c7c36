"""Loaders read what is there and name what is not."""

import gzip
import json
import sys

import numpy as np
import pytest

from transferkit.datasets import load_corpus, load_docstrings, load_labelled_csv


@pytest.fixture(scope="module")
def docstrings():
    return load_docstrings(["joblib", "sklearn"])


def test_docstrings_are_many_different_texts_with_labels(docstrings):
    assert len(docstrings.data) > 2000
    assert len(set(docstrings.data)) == len(docstrings.data)
    assert all(len(text.split()) >= 5 for text in docstrings.data)
    assert set(docstrings.kind.tolist()) == {"module", "class", "method", "function"}
    assert set(docstrings.package.tolist()) == {"joblib", "sklearn"}
    assert "sklearn.linear_model" in docstrings.target_names
    assert docstrings.target_names == sorted(set(docstrings.target.tolist()))
    lengths = {len(docstrings[key]) for key in ("data", "target", "package", "kind", "name")}
    assert lengths == {len(docstrings.data)}


def test_docstring_of_a_known_class_is_found_where_it_is(docstrings):
    position = docstrings.name.index("sklearn.linear_model._ridge.Ridge")
    assert docstrings.kind[position] == "class"
    assert docstrings.target[position] == "sklearn.linear_model"
    assert docstrings.data[position].startswith("Linear least squares with l2 regularization.")


def test_order_of_docstrings_is_the_same_each_time():
    first, second = load_docstrings(["joblib"]), load_docstrings(["joblib"])
    assert first.data == second.data
    assert first.name == second.name


def test_packages_are_parsed_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "unimportable_package"
    package.mkdir()
    (package / "__init__.py").write_text('"""Words of the package that is never imported."""\nraise SystemExit')
    (package / "broken.py").write_text("def (")
    (package / "part.py").write_text(
        'add_newdoc("part", "compiled", """\n    Words on a function that is compiled.\n    """)\n'
        'class A:\n    """Words on the class that is called A.\n\n    >>> 1 + 1\n    2\n\n    More words.\n    """\n'
        '    def f(self):\n        """Words on the method that is called f."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    bunch = load_docstrings(["unimportable_package"], remove_examples=True)
    assert "unimportable_package" not in sys.modules
    assert bunch.name == [
        "unimportable_package",
        "unimportable_package.part.compiled",
        "unimportable_package.part.A",
        "unimportable_package.part.A.f",
    ]
    assert bunch.kind.tolist() == ["module", "function", "class", "method"]
    assert bunch.data[1] == "Words on a function that is compiled."
    assert ">>>" not in bunch.data[2]
    assert bunch.data[2].endswith("More words.")


@pytest.mark.parametrize("name", ["no_such_package", "this", "no.dots", ""])
def test_package_that_is_not_installed_is_named(name):
    with pytest.raises(ValueError, match=f"The package '{name}' is not installed"):
        load_docstrings([name])


def test_no_docstring_long_enough_is_an_error():
    with pytest.raises(ValueError, match="hold no docstrings of 100000 words"):
        load_docstrings(["joblib"], min_words=100_000)


def write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_labelled_csv(name, tmp_path):
    path = write(tmp_path / name, '\ufefftext,other,label\r\n"two\nlines, ""quoted""",x,b\r\n,y,a\r\nlast,z,b\r\n')
    bunch = load_labelled_csv(path)
    assert bunch.data == ['two\nlines, "quoted"', "", "last"]
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
        ("text,sentiment\na,1\n", r"has no column 'label'. Its columns are: \['text', 'sentiment'\]"),
        ("", r"has no column 'text'. Its columns are: \[\]"),
        ("text,label\n", "holds no rows below its column names"),
        ("text,label\na,1\nb,\n", "The label in data row 2 of .* is empty"),
        ("text,label\na,1\nb\n", "Line 3 of .* has 1 fields; the header has 2"),
        ('text,label\n"a,1\n', "is not CSV"),
    ],
)
def test_bad_tables_are_named(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_labelled_csv(write(tmp_path / "data.csv", content))


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
        ("corpus.pdf", "x", "A corpus is a .txt, .csv, .tsv or .jsonl file"),
        ("corpus.txt", " \n", "holds no texts"),
        ("corpus.jsonl", '{"text": "a"}\n{"text"\n', "Line 2 of .* is not JSON"),
        ("corpus.jsonl", '{"body": "a"}\n', r"Line 1 of .* has no text under 'text'. It has: \['body'\]"),
        ("corpus.jsonl", "3\n", "Line 1 of .* has no text under 'text'. It has: int"),
        ("corpus.csv", "body\na\n", r"has no column 'text'. Its columns are: \['body'\]"),
        ("corpus.txt", b"\xff\xfe", "codec can't decode"),
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
