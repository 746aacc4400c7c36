"""A folder is a corpus of one document per file, and sub-folders may be labels."""

import warnings

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv, read_texts
from transferkit.exceptions import DataWarning


@pytest.fixture
def folder(tmp_path):
    files = {"neg/2": "bad\nfilm", "neg/1.txt": "worse", "pos/1.txt": "good", "pos/.hidden": "no", ".git/a": "no"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_sub_folders_are_labels(folder):
    found = load_labelled_csv(folder)
    assert found.data == ["worse", "bad\nfilm", "good"]
    assert found.target.tolist() == ["neg", "neg", "pos"]


def test_documents_are_texts_of_a_corpus(folder):
    assert load_corpus(folder / "neg") == ["worse", "bad\nfilm"]
    assert read_texts(folder / "neg", others=None)[:2] == (["worse", "bad\nfilm"], [["1.txt"], ["2"]])
    with pytest.raises(ValueError, match=r"holds only folders. Pass recursive=True"):
        load_corpus(folder)
    assert load_corpus(folder, recursive=True) == ["worse", "bad\nfilm", "good"]
    (folder / "readme.md").write_text("about")
    with pytest.warns(DataWarning, match="3 files in sub-folders are not read. Pass recursive=True"):
        assert load_corpus(folder) == ["about"]


def test_files_without_a_label_are_not_lost_in_silence(folder):
    (folder / "readme.md").write_text("about")
    with pytest.raises(ValueError, match=r"The label in file 4 of .* is empty"):
        load_labelled_csv(folder)
    found = load_labelled_csv(folder, skip_unlabelled=True)
    assert (len(found.data), found.n_unlabelled) == (3, 1)


def test_folders_within_labels_are_ambiguous(folder):
    (folder / "pos" / "old").mkdir()
    (folder / "pos" / "old" / "3.txt").write_text("fine")
    with pytest.raises(ValueError, match=r"folders within the sub-folders .* such as 'pos/old'.* recursive=True"):
        load_labelled_csv(folder)
    found = load_labelled_csv(folder, recursive=True)
    assert list(zip(found.data, found.target.tolist(), strict=True))[2:] == [("good", "pos"), ("fine", "pos")]


def test_folders_that_hold_no_documents_are_errors(folder, tmp_path):
    with pytest.raises(ValueError, match="has no sub-folders, whose names are the labels"):
        load_labelled_csv(folder / "pos")
    (folder / "pos" / "t.csv").write_text("text,label\na,b\n")
    with pytest.raises(ValueError, match=r"holds the table 't.csv', but a folder holds one document per file"):
        load_corpus(folder / "pos")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no files"):
        load_corpus(folder / "empty")


def test_encodings_of_documents_are_detected_and_reported_once(folder):
    (folder / "pos" / "1.txt").write_bytes("très bon".encode("latin-1"))
    (folder / "pos" / "2.txt").write_bytes("über".encode("latin-1"))
    (folder / "pos" / "3.txt").write_text("naïf", encoding="utf-8")
    with pytest.warns(DataWarning) as warned:
        assert load_corpus(folder / "pos") == ["très bon", "über", "naïf"]
    first, second = (str(warning.message) for warning in warned)
    assert "2 of 3 files are not UTF-8" in first
    assert "1.txt: not UTF-8, read as cp1252 (Western European), for example 'très'" in second
    with warnings.catch_warnings(action="error"):
        (folder / "neg" / "3").write_bytes("three\n".encode("utf-16"))
        assert load_corpus(folder / "neg")[-1] == "three\n"
