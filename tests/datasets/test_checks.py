"""Texts and labels that look wrong are counted and reported, and all rows are kept."""

import warnings

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv
from transferkit.exceptions import DataWarning


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,x", ",y", '" ",y'], "2 of 3 texts are empty, the first in line 3"),
        (["a,x", ",y"], "1 of 2 texts is empty, the first in line 3"),
        (["a,x", "b,x ", "c, x"], "blanks around 2 labels were removed, so that they equal others: 'x'"),
        (["b,x ", "c, x"], "blanks around 2 labels were removed"),
        (["a,Pos", "b,pos", "c,pos", "d,neg"], r"differ only in case, .*: 'Pos' \(1 text\) and 'pos' \(2 texts\)"),
        (["a,not ok", "b,not  ok"], "differ only in case, whitespace"),
        (["a,ﬁt", "b,fit"], "Unicode form"),
        (["a,x", "a,y", " a,x", "b,x", "b,x"], "1 text in 3 rows has different labels, for example 'a' has 'x', 'y'"),
        ([f"{i},{label}" for i in range(6) for label in "xy"], "6 texts in 12 rows have different labels"),
    ],
)
def test_what_looks_wrong_is_counted(rows, message, tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    with pytest.warns(DataWarning, match=message) as warned:
        found = load_labelled_csv(tmp_path / "t.csv")
    assert len(warned) == 1
    assert len(found.data) == len(rows)
    assert all(label == label.strip() for label in found.target)


@pytest.mark.parametrize("rows", [["a, x", "b, y"], ["a,x", "a,x"], ["a,x", "A,y"], ["a,x", "b,y", ",", ""]])
def test_nothing_is_reported_without_need(rows, tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    with warnings.catch_warnings(action="error"):
        assert load_labelled_csv(tmp_path / "t.csv").data == [row.partition(",")[0] for row in rows[:2]]


def test_empty_texts_of_a_corpus_are_kept_and_counted(tmp_path):
    (tmp_path / "t.csv").write_text("id,text\n1,a\n2,\n")
    with pytest.warns(DataWarning, match="1 of 2 texts is empty, the first in line 3"):
        assert load_corpus(tmp_path / "t.csv") == ["a", ""]
