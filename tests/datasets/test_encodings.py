"""Encodings that are not named are detected where the bytes leave no doubt, reported, and otherwise asked for."""

import warnings

import pytest

from transferkit.datasets import load_corpus, load_labelled_csv
from transferkit.exceptions import DataWarning

GERMAN = "text,label\n" + "Die Straße über dem Café wäre schön,gut\nNur ASCII hier,schlecht\n" * 3
FRENCH = "text,label\n————\xa0«\xa0Voilà\xa0» l’été, créé à Noël…\n".replace(", ", " ").replace("…", ",oui")
FINNISH = "text,label\nhän määrää päätöksen yöllä,ä\n"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", [GERMAN, FINNISH])
def test_western_european_text_is_recognised_and_shown(encoding, text, tmp_path):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    with pytest.warns(
        DataWarning, match=r"not UTF-8, read as cp1252 .*, for example '(Straße|hän)'.*encoding='cp1250'"
    ):
        found = load_labelled_csv(tmp_path / "a.csv")
    assert found.encoding == "cp1252"
    assert "\n".join(map(",".join, zip(found.data, found.target, strict=True))) in text


def test_a_sign_is_shown_where_no_word_has_an_accent(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nan extra £1 charge,yes\nno charge,no\n".encode("cp1252"))
    with pytest.warns(DataWarning, match="read as cp1252 .*, for example '£1'"):
        assert load_labelled_csv(tmp_path / "a.csv").data[0] == "an extra £1 charge"


def test_typographic_signs_of_windows_are_kept(tmp_path):
    (tmp_path / "a.csv").write_bytes(FRENCH.encode("cp1252"))  # its blank and guillemet are UTF-8 of another letter
    with pytest.warns(DataWarning, match="for example 'Voilà'"):
        assert load_labelled_csv(tmp_path / "a.csv").data == ["————\xa0«\xa0Voilà\xa0» l’été créé à Noël"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("text,label\nПривет мир это текст,да\n", "cp1251"),
        ("text,label\n小猫在家里睡觉,宠物\n", "gbk"),
        ("text,label\nWłaśnie zgubiłem kartę płatniczą,tak\n", "cp1250"),
        ("text,label\nDas wäre schön für müde Bären,gut\n", "mac-roman"),
        ("text,label\nDas wäre schön für müde Bären,gut\n", "cp850"),
        ("text,label\nnaïve café,été\n" * 3 + "\udcff,x\n", "utf-8"),
        ("text,label\ncafé\x00,été\n", "latin-1"),
    ],
)
def test_other_encodings_and_damaged_files_are_not_guessed(text, encoding, tmp_path):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding, "surrogateescape"))
    with pytest.raises(
        ValueError, match=r"is not UTF-8: byte \d+, .* encoding='cp1252' for Western Europe, .* gbk for"
    ):
        load_labelled_csv(tmp_path / "a.csv")


def test_a_guess_that_later_bytes_contradict_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("transferkit.datasets.files._CHUNK", 8)
    (tmp_path / "a.txt").write_bytes("ascii... café and\n".encode("latin-1") + "été à Noël".encode())
    with pytest.raises(ValueError, match="is not UTF-8: byte 12, on line 1, is 0xe9"):
        load_corpus(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes("été à Noël".encode() + "\ncafé and\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8: byte 18, on line 2, is 0xe9"):
        load_corpus(tmp_path / "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["the cat\n", "Привет мир\nещё текст\n", "小猫在家里睡觉\n小狗在家里吃饭\n"])
def test_utf_16_without_a_mark_is_read_without_a_warning(encoding, text, tmp_path):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with warnings.catch_warnings(action="error"):
        assert load_corpus(tmp_path / "a.txt") == text.splitlines()


@pytest.mark.parametrize(
    "text", ["one\ntwo\x00\nthree\n", "a\n\x00\nb\n\n", "0,\x000\n1\n", "a\x00\n\x00\x00bxyxyxyxyxyxy"]
)
def test_zero_characters_do_not_make_utf_16(text, tmp_path):
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert load_corpus(tmp_path / "a.txt") == [line for line in text.split("\n") if line]


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"PK\x03\x04", r"workbook \(.xlsx"), (b"\x1f\x8b", r"gzipped file \(.gz"), (b"%PDF-1.7", "PDF")],
)
def test_files_of_other_kinds_are_named(start, kind, tmp_path):
    (tmp_path / "a.csv").write_bytes(start + bytes(range(256)))
    with pytest.raises(ValueError, match=rf"a.csv' is not text, but .*{kind}"):
        load_labelled_csv(tmp_path / "a.csv")


def test_an_encoding_that_is_named_is_not_guessed(tmp_path):
    (tmp_path / "a.txt").write_bytes("né über\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        load_corpus(tmp_path / "a.txt", encoding="utf-8")
    assert load_corpus(tmp_path / "a.txt", errors="replace") == ["n\ufffd \ufffdber"]
    with warnings.catch_warnings(action="error"):
        assert load_corpus(tmp_path / "a.txt", encoding="cp1252") == ["né über"]
