"""Word vectors from files and from gensim."""

import bz2
import gzip
import io
import lzma
import pickle
import re
import struct
import tarfile
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import transferkit
from transferkit import WordVectorEncoder
from transferkit.encoders.words import _vector_formats, read_vectors
from transferkit.exceptions import ModelFileError

WORDS = ["the", "naïve", "cat", "dog"]
VECTORS = np.array([[0.5, -1, 2e-3], [1, 2, 3], [0.25, 0.5, -0.125], [0.25, 0.5, 0]], np.float32)


def text_lines(words=WORDS, vectors=VECTORS, end=""):
    return "".join(
        f"{word} {' '.join(map(repr, row))}{end}\n" for word, row in zip(words, vectors.tolist(), strict=True)
    )


def binary(newline):
    entries = [word.encode() + b" " + row.astype("<f4").tobytes() for word, row in zip(WORDS, VECTORS, strict=True)]
    return b"4 3\n" + (b"\n" if newline else b"").join(entries)


CONTENTS = {
    "word2vec text": ("4 3\n" + text_lines()).encode(),
    "word2vec binary": binary(newline=False),
    "word2vec binary, lines": binary(newline=True),
    "GloVe": text_lines().encode(),
    "GloVe, Windows": text_lines().replace("\n", "\r\n").encode(),
    "word2vec text, byte order mark": b"\xef\xbb\xbf4 3\n" + text_lines().encode(),
    "GloVe, byte order mark": b"\xef\xbb\xbf" + text_lines().encode(),
    "GloVe, blank last lines": text_lines().encode() + b"\n \r\n\n",
    "word2vec text, blank last line": ("4 3\n" + text_lines()).encode() + b"\n",
    "tabs": text_lines().replace(" ", "\t").encode(),
    "tabs, header": ("4 3\n" + text_lines()).replace(" ", "\t").encode(),
    "tab after the word": "".join(line.replace(" ", "\t", 1) for line in text_lines().splitlines(True)).encode(),
    "tab and space after the word": "".join(
        line.replace(" ", "\t ", 1) for line in text_lines().splitlines(True)
    ).encode(),
    "tabs between numbers": "".join(
        line.replace(" ", "\t").replace("\t", " ", 1) for line in text_lines().splitlines(True)
    ).encode(),
    "fastText": ("4 3\n" + text_lines(end=" ")).encode(),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", CONTENTS)
def test_every_form_is_read(tmp_path, form, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(CONTENTS[form]) if zipped else CONTENTS[form])
    encoder = WordVectorEncoder.from_file(path, pooling="mean", norm=None)
    assert list(encoder.vocabulary_) == WORDS
    np.testing.assert_array_equal(encoder.vectors_, VECTORS)
    np.testing.assert_allclose(encoder.transform(["The cat"]), VECTORS[[0, 2]].mean(axis=0, keepdims=True))
    assert encoder.n_components == 3
    np.testing.assert_allclose(encoder.frequency_ / encoder.frequency_[0], 1 / np.arange(1, 5))
    np.testing.assert_allclose(encoder.idf_, 1 + np.log(np.arange(1, 5)), rtol=1e-6)


@pytest.mark.parametrize("form", CONTENTS)
@pytest.mark.parametrize("wanted", [["dog", "naïve", "horse"], {"dog", "naïve"}, ["A dog, naïve and wild!"]])
def test_only_wanted_words_are_read(tmp_path, form, wanted):
    path = tmp_path / "vectors"
    path.write_bytes(CONTENTS[form])
    encoder = WordVectorEncoder.from_file(path, restrict_to=wanted)
    assert list(encoder.vocabulary_) == ["naïve", "dog"]
    np.testing.assert_array_equal(encoder.vectors_, VECTORS[[1, 3]])
    np.testing.assert_allclose(encoder.frequency_[0] / encoder.frequency_[1], 2)


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_words_may_hold_spaces(tmp_path, separator):
    path = tmp_path / "vectors"
    words = ["the", ". . .", "new york", "dog"]
    lines = [
        f"{word}{separator}{' '.join(map(repr, row))}\n" for word, row in zip(words, VECTORS.tolist(), strict=True)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    encoder = WordVectorEncoder.from_file(path)
    assert list(encoder.vocabulary_) == ["the", ". . .", "new york", "dog"]
    np.testing.assert_array_equal(encoder.vectors_, VECTORS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"2 3\nthe 1 2 3\ncat 1 2\n", r"Line 3 of .* must hold a word and 3 numbers\. Got 2 numbers"),
        (b"the 1 2 3\ncat 1 2 3 4\n", r"Line 2 of .* must hold a word and 3 numbers\. Got 4 numbers"),
        (b"the 1 2 3\ncat 1 x 3\ndog 1 2 3\n", r"Line 2 of .* must hold a word and numbers"),
        (b"the 1 2 3\ncat 1 nan 3\n", "Line 2 of .* a number is not finite"),
        (b"the 1 2 3\n\ncat 1 2 3\n", "Line 2 of .* is empty"),
        (b"the 1 2 3\ncat 1 2 3\n\t\n\n\ndog 1 2 3\n\n", "Line 3 of .* is empty"),
        (b"2 1\nthe 1\ncat\n", r"Line 3 of .* must hold a word and 1 numbers\. Got 0 numbers"),
        (b"the\t1 2 3\ncat\t1 2\n", r"Line 2 of .* must hold a word and 3 numbers\. Got 2 numbers"),
        (b"the\t1\t2\t3\ncat\t1\t2\t3\t4\n", r"Line 2 of .* must hold a word and 3 numbers\. Got 4 numbers"),
        (b"the 1 2 3\nc\xff 1 2 3\n", r"Line 2 of .* not valid UTF-8: b'c\\xff'"),
        (b"3 3\nthe 1 2 3\ncat 1 2 3\n", "announces 3 words, but 2 lines follow"),
        (b"1 3\nthe 1 2 3\ncat 1 2 3\n", "announces 1 words, but 2 lines follow"),
        (b"2 0\n", "Line 1 of .* announces vectors of length 0"),
        (b"", "Line 1 of .* holds neither a header nor a word"),
        (b"2 2\na " + struct.pack("<2f", 1, 2) + b"b " + struct.pack("<f", 3), "Word 2 of .* is cut off"),
        (b"1 2\na " + struct.pack("<2f", 1, float("inf")), "Word 1 of .*, 'a', has a vector with a number that"),
        (gzip.compress(b"the 1 2 3\n" * 50, mtime=0)[:-12], "is damaged"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_malformed_files_are_refused_with_the_line(tmp_path, content, message, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(content) if zipped and content[:2] != b"\x1f\x8b" else content)
    with pytest.raises(ModelFileError, match=message):
        WordVectorEncoder.from_file(path)


def test_long_binary_files_are_read_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(_vector_formats, "_CHUNK", 100)
    vectors = np.random.default_rng(0).standard_normal((300, 7)).astype("<f4")
    words = ["x" * (k % 50) + str(k) for k in range(300)]
    entries = [word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(words, vectors, strict=True)]
    path = tmp_path / "vectors"
    path.write_bytes(b"300 7\n" + b"".join(entries))
    read, ranks, rows = read_vectors(path)
    assert read == words
    assert ranks.tolist() == list(range(1, 301))
    np.testing.assert_array_equal(rows, vectors)
    read, ranks, rows = read_vectors(path, wanted=set(words[5::50]))
    assert read == words[5::50]
    assert ranks.tolist() == list(range(6, 301, 50))
    np.testing.assert_array_equal(rows, vectors[5::50])


def _measure_peak(function):
    tracemalloc.start()
    result = function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("form", ["text", "headerless text", "binary"])
def test_reading_needs_little_more_memory_than_the_vectors(tmp_path, form):
    n_words, n_components, path = 10_000, 100, tmp_path / "vectors"
    line = b" 0.25" * n_components if "text" in form else b" " + np.full(n_components, 0.25, "<f4").tobytes()
    header = b"" if form == "headerless text" else f"{n_words} {n_components}\n".encode()
    path.write_bytes(header + b"".join(b"word%d%s\n" % (k, line) for k in range(n_words)))
    (_, _, vectors), peak = _measure_peak(lambda: read_vectors(path))
    n_bytes = 4 * n_words * n_components
    assert vectors.nbytes == n_bytes
    assert peak < 1.25 * n_bytes + 5e6  # growth, and the words, lines and chunks that are read at a time
    _, peak = _measure_peak(lambda: read_vectors(path, wanted={"word7", "word9999"}))
    assert peak < 0.5 * n_bytes + 5e6


def test_encoder_of_a_file_needs_little_more_memory_than_its_vectors(tmp_path):
    n_words, n_components, path = 20_000, 200, tmp_path / "vectors"
    numbers = b" " + np.full(n_components, 0.25, "<f4").tobytes()
    content = [f"{n_words} {n_components}\n".encode(), *(b"word%d" % k + numbers for k in range(n_words))]
    path.write_bytes(b"".join(content))
    _, peak = _measure_peak(lambda: WordVectorEncoder.from_file(path))
    assert peak < 1.6 * 4 * n_words * n_components


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1000000000000 3\nthe 1 2 3\n", "announces 1000000000000 words, but 1 lines follow"),
        (b"1000000000000 1\nthe \0\0\0\0", "Word 2 of .* is cut off"),
        (b"1 900000\nthe \0\0\0\0", "Word 1 of .* is cut off"),
        (b"1 1000001\nthe \0\0\0\0", "Line 1 of .* announces more words or longer vectors than can be: '1 1000001'"),
        (b"1 " + b"9" * 19 + b"\nthe 1", "Line 1 of .* announces more words or longer vectors than can be"),
        (b"9" * 5000 + b" 1\nthe 1", "Line 1 of .* announces more words or longer vectors than can be: '9{20} 1'"),
        (b"2 3\nthe 1 2 3\n" + b"x" * 30_000_000, r"Line 3 of .* must hold a word and 3 numbers\. Got 0"),
        (b"x" * 30_000_000, "Line 1 of .* holds neither a header nor a word"),
        (b"2 3\n\0" + b"x" * 30_000_000, "Word 1 of .* is cut off"),
    ],
)
def test_memory_is_bounded_whatever_a_file_claims(tmp_path, content, message, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(content, 1) if zipped else content)

    def read():
        with pytest.raises(ModelFileError, match=message):
            read_vectors(path)

    assert _measure_peak(read)[1] < 60e6


def test_line_of_an_error_is_right_in_long_files(tmp_path):
    path = tmp_path / "vectors"
    lines = [f"w{k} 1 2" for k in range(3000)]
    lines[2500] = "w2500 1 oops"
    content = "\n".join(lines).encode()
    for written in (content, gzip.compress(content)):
        path.write_bytes(written)
        with pytest.raises(ModelFileError, match="Line 2501 of"):
            WordVectorEncoder.from_file(path)


def _write(writer, *arguments):
    file = io.BytesIO()
    writer(file, *arguments)
    return file.getvalue()


def _zip(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("vectors.txt", text_lines())


def _tar(file):
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("vectors.txt"))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (_write(_zip), "a zip archive, as .zip, .npz and .pt", "Unpack it"),
        (_write(np.savez, VECTORS), "a zip archive, as .zip, .npz and .pt", "Unpack it"),
        (_write(_tar), "a tar archive", "Unpack it"),
        (bz2.compress(text_lines().encode()), "compressed by bzip2", "Unpack it"),
        (lzma.compress(text_lines().encode()), "compressed by xz", "Unpack it"),
        (b"\x28\xb5\x2f\xfd\x24\0", "compressed by Zstandard", "Unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive", "Unpack it"),
        (struct.pack("<ii", 793712314, 12), "a model of fastText", r"the \.vec file .*from_gensim"),
        (pickle.dumps({"a": VECTORS}, protocol=2), "a Python pickle", r"KeyedVectors\.load .*from_gensim"),
        (pickle.dumps({"a": VECTORS}, protocol=5), "a Python pickle", r"KeyedVectors\.load .*from_gensim"),
        (_write(np.save, VECTORS), "a NumPy array", "Give a text file"),
        (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file", "Write its words"),
        (b"SQLite format 3\0\x10", "an SQLite database", "Give the vectors"),
        (struct.pack("<Q", 10) + b'{"a":{}}  ', "a safetensors or transferkit model file", r"transferkit\.load"),
        (b"\n<!DOCTYPE HTML><html>", "a web page", "The download failed"),
        (b'<html lang="en">', "a web page", "The download failed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "git lfs pull"),
        (text_lines().encode("utf-16"), "text in UTF-16", "Save it as UTF-8"),
    ],
)
def test_other_kinds_of_files_are_named_with_the_remedy(tmp_path, content, kind, remedy, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ModelFileError, match=f"'.*vectors' holds no word vectors .* It is {kind}.*{remedy}"):
        read_vectors(path)


def test_folder_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="is a folder: give the file in it"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("word", ["PK", "BZh9", "<html", "version", "7z", "\x93"])
def test_words_may_look_a_little_like_other_files(tmp_path, word):
    path = tmp_path / "vectors"
    path.write_text(f"{word} 1 2 3\n", encoding="utf-8")
    assert read_vectors(path)[0] == [word]


@pytest.mark.parametrize("place", [10, 20, -8, -4])
def test_damaged_gzip_is_called_so(tmp_path, place):
    zipped = bytearray(gzip.compress(text_lines().encode() * 100, mtime=0))
    zipped[place : place + 4 or None] = b"\xff" * 4
    path = tmp_path / "vectors"
    path.write_bytes(zipped)
    with pytest.raises(ModelFileError, match=r"The file '.*vectors' is damaged: "):
        read_vectors(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_are_read_or_refused(tmp_path, data):
    content = data.draw(st.one_of(st.binary(max_size=200), st.sampled_from(sorted(CONTENTS.values()))))
    if data.draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    for _ in range(data.draw(st.integers(0, 3))):
        begin = data.draw(st.integers(0, len(content)))
        content = content[:begin] + data.draw(st.binary(max_size=4)) + content[begin + data.draw(st.integers(0, 4)) :]
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ words of .* occur again")
        try:
            words, ranks, vectors = read_vectors(path)
        except ModelFileError:
            pass
        else:
            assert len(set(words)) == len(words) == len(ranks) == len(vectors) > 0
            assert (np.diff(ranks) > 0).all()
            assert np.isfinite(vectors).all()


def test_missing_file_and_missing_words_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="There is no file"):
        WordVectorEncoder.from_file(tmp_path / "nothing")
    (tmp_path / "vectors").write_bytes(CONTENTS["GloVe"])
    with pytest.raises(ModelFileError, match="None of the wanted words is in"):
        WordVectorEncoder.from_file(tmp_path / "vectors", restrict_to=["horse"])
    with pytest.raises(ValueError, match="The 'pooling' parameter of WordVectorEncoder must be"):
        WordVectorEncoder.from_file(tmp_path / "vectors", pooling="sum")


def test_repeated_words_keep_their_first_vector_with_a_warning(tmp_path):
    path = tmp_path / "vectors"
    path.write_text(text_lines(["the", "cat", "cat", "dog"]))
    with pytest.warns(UserWarning, match="1 words of .* occur again"):
        encoder = WordVectorEncoder.from_file(path)
    assert list(encoder.vocabulary_) == ["the", "cat", "dog"]
    np.testing.assert_array_equal(encoder.vectors_, VECTORS[[0, 1, 3]])


def test_loaded_vectors_are_saved_adapted_and_cannot_learn_on(tmp_path):
    (tmp_path / "vectors").write_bytes(CONTENTS["GloVe"])
    encoder = WordVectorEncoder.from_file(tmp_path / "vectors")
    transferkit.save(encoder, tmp_path / "encoder.tk")
    loaded = transferkit.load(tmp_path / "encoder.tk")
    np.testing.assert_array_equal(loaded.transform(["the cat", "dog"]), encoder.transform(["the cat", "dog"]))
    assert loaded.similarity("cat", "dog") == encoder.similarity("cat", "dog")
    with pytest.raises(ValueError, match="holds no counts"):
        loaded.partial_fit(["the cat"])
    loaded.adapt_idf(["the cat", "the dog", "the dog"])
    np.testing.assert_allclose(loaded.idf_, np.log(4 / np.array([4, 1, 2, 3])) + 1, rtol=1e-6)


def test_real_files_are_read(shared_data):
    encoder = WordVectorEncoder.from_file(shared_data / "vectors" / "glove_50d_sample.txt.gz")
    assert encoder.vectors_.shape == (76, 50)
    path = shared_data / "vectors" / "fasttext_movie_100d.word2vec.txt.gz"
    encoder = WordVectorEncoder.from_file(path, restrict_to=["A good movie"])
    assert "movie" in encoder.vocabulary_
    assert encoder.vectors_.shape[1] == 100


class KeyedVectors:
    """The attributes of gensim's class of that name."""

    index_to_key, vectors, expandos = WORDS, VECTORS, {"count": np.array([6, 3, 2, 1])}


def test_vectors_of_gensim_are_taken_over():
    encoder = WordVectorEncoder.from_gensim(KeyedVectors(), pooling="mean", norm=None)
    np.testing.assert_array_equal(encoder.vectors_, VECTORS)
    assert not np.shares_memory(encoder.vectors_, VECTORS)
    np.testing.assert_allclose(encoder.frequency_, np.array([6, 3, 2, 1]) / 12)
    np.testing.assert_allclose(encoder.transform(["naïve"]), VECTORS[1:2])


@pytest.mark.parametrize("counts", [[4, 3, 2, 1], [4.0, 3.0, 2.0, 1.0], [0, 0, 0, 0], [6, 3, 2, -1], [], None])
def test_counts_that_gensim_makes_up_are_none(tmp_path, counts):
    (tmp_path / "vectors").write_bytes(CONTENTS["GloVe"])
    expected = WordVectorEncoder.from_file(tmp_path / "vectors")
    keyed_vectors = KeyedVectors()
    keyed_vectors.expandos = {} if counts is None else {"count": np.array(counts)}
    encoder = WordVectorEncoder.from_gensim(keyed_vectors)
    np.testing.assert_array_equal(encoder.frequency_, expected.frequency_)
    np.testing.assert_array_equal(encoder.idf_, expected.idf_)


@pytest.mark.parametrize("binary", [False, True])
def test_file_read_by_gensim_gives_the_same_encoder(tmp_path, binary):
    models = pytest.importorskip("gensim.models", exc_type=ImportError)
    path = tmp_path / "vectors"
    path.write_bytes(CONTENTS["word2vec binary" if binary else "word2vec text"])
    ours = WordVectorEncoder.from_file(path)
    theirs = WordVectorEncoder.from_gensim(models.KeyedVectors.load_word2vec_format(path, binary=binary))
    assert ours.vocabulary_ == theirs.vocabulary_
    np.testing.assert_array_equal(ours.idf_, theirs.idf_)
    np.testing.assert_array_equal(ours.transform(["the cat", "dog"]), theirs.transform(["the cat", "dog"]))


def _stem(word):
    return word.removesuffix("s")


@pytest.mark.parametrize("subword", [False, True])
@pytest.mark.parametrize(
    ("asked", "parameters"),
    [
        ("Cat", {}),
        ("CAT!", {}),
        ("cät", {"strip_accents": "unicode"}),
        ("Cats", {"stemmer": _stem}),
        ("cat_1", {"preprocessor": lambda text: text.partition("_")[0]}),
    ],
)
def test_words_are_looked_up_as_they_are_found_in_texts(tmp_path, asked, parameters, subword):
    path = tmp_path / "vectors"
    path.write_text(text_lines(["the", "fish", "cat", "dog"]))
    encoder = WordVectorEncoder.from_file(path, subword=subword, **parameters)
    assert encoder.similarity(asked, "cat") == pytest.approx(1)
    assert encoder.most_similar(asked) == encoder.most_similar("cat")
    assert encoder.analogy(asked, "dog", "the") == encoder.analogy("cat", "dog", "the")


def test_word_that_is_known_as_it_is_written_comes_first(tmp_path):
    path = tmp_path / "vectors"
    path.write_text(text_lines(["us", "US", "the", "dog"]))
    with pytest.warns(UserWarning, match="Upper case characters"):
        encoder = WordVectorEncoder.from_file(path)
    assert encoder.similarity("US", "us") == pytest.approx(VECTORS[0] @ VECTORS[1] / 14**0.5 / 1.25**0.5, rel=1e-3)
    with pytest.raises(KeyError, match="The word 'the dog' is not in the vocabulary"):
        encoder.similarity("the dog", "dog")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", CONTENTS)
def test_limit_reads_the_first_words_alone(tmp_path, form, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(CONTENTS[form]) if zipped else CONTENTS[form])
    for limit in (1, 3, 4, 5):
        encoder = WordVectorEncoder.from_file(path, limit=limit)
        assert list(encoder.vocabulary_) == WORDS[:limit]
        np.testing.assert_array_equal(encoder.vectors_, VECTORS[:limit])
    assert list(WordVectorEncoder.from_file(path, limit=3, restrict_to=["cat", "dog"]).vocabulary_) == ["cat"]
    with pytest.raises(ModelFileError, match="None of the wanted words"):
        WordVectorEncoder.from_file(path, limit=3, restrict_to=["dog"])
    for limit in (0, -1, 2.5, "3"):
        with pytest.raises(ValueError, match="The 'limit' argument of from_file must be an int in the range"):
            WordVectorEncoder.from_file(path, limit=limit)


def test_nothing_is_read_behind_the_limit(tmp_path):
    path = tmp_path / "vectors"
    for content in (b"3 2\nthe 1 2\ncat 3 4\nbad", b"the 1 2\ncat 3 4\nbad", CONTENTS["word2vec binary"][:-3]):
        path.write_bytes(content)
        assert list(WordVectorEncoder.from_file(path, limit=2).vocabulary_) in (["the", "cat"], WORDS[:2])
        with pytest.raises(ModelFileError):
            WordVectorEncoder.from_file(path)


LOST_WORDS = [
    (["我", "好", "书", "the"], {"token_pattern": r"\S+"}),
    (["हिन्दी", "में", "है", "the"], {"token_pattern": r"\S+"}),
    (["new-york", "los-angeles", "e.g.", "the"], {"token_pattern": r"\S+"}),
    (["New York", "Los Angeles", "San Jose", "the"], {"tokenizer": lambda text: [text], "token_pattern": None}),
]


@pytest.mark.parametrize(("words", "remedy"), LOST_WORDS)
def test_words_that_no_text_gives_are_warned_of(tmp_path, words, remedy):
    path = tmp_path / "vectors"
    path.write_text("4 3\n" + text_lines(words), encoding="utf-8")
    keyed_vectors = KeyedVectors()
    keyed_vectors.index_to_key = words
    for make in (
        lambda **parameters: WordVectorEncoder.from_file(path, lowercase=False, **parameters),
        lambda **parameters: WordVectorEncoder.from_gensim(keyed_vectors, lowercase=False, **parameters),
    ):
        message = rf"3 of the first 4 words cannot be found .* {words[0]!r}.* token_pattern=r'\\S\+' .* tokenizer"
        with pytest.warns(UserWarning, match=message) as warned:
            make()
        assert warned[0].filename == __file__
        assert make(**remedy).transform([words[0]]).any()


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (["我", "好", "the", "dog"], {}),  # half of them
        (["with", "from", "that", "dog"], {"stop_words": "english"}),
        (["with_from", "naïve", "Ünder", "dog"], {"lowercase": False}),
    ],
)
def test_words_that_texts_give_are_not_warned_of(tmp_path, words, parameters):
    path = tmp_path / "vectors"
    path.write_text(text_lines(words), encoding="utf-8")
    assert list(WordVectorEncoder.from_file(path, **parameters).vocabulary_) == words


def test_pure_differences_of_case_are_warned_of_as_such_only(tmp_path):
    path = tmp_path / "vectors"
    path.write_text(text_lines(["The", "Cat", "New", "dog"]))
    with pytest.warns(UserWarning, match="Upper case") as warned:
        WordVectorEncoder.from_file(path)
    assert len(warned) == 1


def test_wanted_words_that_are_there_are_not_called_missing(tmp_path):
    path = tmp_path / "vectors"
    path.write_text(text_lines(["我", "好", "书", "the"]), encoding="utf-8")
    for texts in (["我 好 书"], ["我好"]):
        with pytest.raises(ValueError, match=r"Words of restrict_to are in .*, '我' .* Set token_pattern"):
            WordVectorEncoder.from_file(path, restrict_to=texts)
    encoder = WordVectorEncoder.from_file(path, restrict_to=["我 书"], token_pattern=r"\S+")
    assert list(encoder.vocabulary_) == ["我", "书"]
    with pytest.raises(ModelFileError, match="None of the wanted words is in"):
        WordVectorEncoder.from_file(path, restrict_to=["a horse"])


def test_real_gensim_is_taken_over(tmp_path):
    models = pytest.importorskip("gensim.models", exc_type=ImportError)
    model = models.Word2Vec(
        [["cat", "eats", "fish"], ["dog", "eats", "meat"]] * 9, vector_size=8, min_count=1, workers=1
    )
    encoder = WordVectorEncoder.from_gensim(model)
    assert list(encoder.vocabulary_) == model.wv.index_to_key
    np.testing.assert_array_equal(encoder.vectors_, model.wv.vectors)
    model.wv.save_word2vec_format(tmp_path / "vectors.bin", binary=True)
    np.testing.assert_array_equal(WordVectorEncoder.from_file(tmp_path / "vectors.bin").vectors_, model.wv.vectors)
    answers = [(word, pytest.approx(cosine, abs=1e-5)) for word, cosine in model.wv.most_similar("cat", topn=3)]
    assert encoder.most_similar("cat", n=3) == answers


def _binary_entry(word, *numbers):
    return word + b" " + struct.pack(f"<{len(numbers)}f", *numbers)


BAD_BYTES = {  # each has the words 'the', 'na\xefve' and 'dog'; the second is not valid UTF-8
    "text": b"3 2\nthe 1 2\nna\xefve 3 4\ndog 5 6\n",
    "headerless text": b"the 1 2\nna\xefve 3 4\ndog 5 6\n",
    "tabs": b"3 2\nthe\t1\t2\nna\xefve\t3\t4\ndog\t5\t6\n",
    "binary": b"3 2\n" + _binary_entry(b"the", 1, 2) + _binary_entry(b"na\xefve", 3, 4) + _binary_entry(b"dog", 5, 6),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", BAD_BYTES)
def test_encoding_and_errors_decide_about_bad_bytes(tmp_path, form, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(BAD_BYTES[form]) if zipped else BAD_BYTES[form])
    place = {"binary": "Word 2", "headerless text": "Line 2"}.get(form, "Line 3")
    with pytest.raises(
        ModelFileError,
        match=rf"{place} of '.*vectors' begins with .* UTF-8: b'na\\xefve'.* encoding='latin-1' .*'skip'",
    ):
        WordVectorEncoder.from_file(path)
    for options, word in [
        ({"encoding": "latin-1"}, "naïve"),
        ({"encoding": "latin-1", "errors": "skip"}, "naïve"),
        ({"encoding": "cp1252", "errors": "replace"}, "naïve"),
        ({"errors": "replace"}, "na\ufffdve"),
        ({"errors": "ignore"}, "nave"),
    ]:
        words, ranks, vectors = read_vectors(path, **options)
        assert words == ["the", word, "dog"]
        assert ranks.tolist() == [1, 2, 3]
        assert vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert list(WordVectorEncoder.from_file(path, encoding="latin-1", restrict_to=["naïve"]).vocabulary_) == ["naïve"]
    with pytest.warns(UserWarning, match=rf"^1 lines or words of '.*' could not be read\. {place} of "):
        encoder = WordVectorEncoder.from_file(path, errors="skip")
    assert list(encoder.vocabulary_) == ["the", "dog"]
    np.testing.assert_allclose(encoder.frequency_, [3 / 4, 1 / 4])  # ranks are places in the file
    with pytest.raises(ModelFileError, match="begins with a word that is not valid ascii"):
        read_vectors(path, encoding="ascii")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "words", "warning"),
    [
        (b"3 2\nthe 1 2\ncat 3\ndog 5 6\n", ["the", "dog"], "1 lines or words .* Line 3 .* Got 1 numbers"),
        (b"the 1 2\ncat 3 4 5\nfox x 4\n\nbee nan 1\ndog 5 6\n\n", ["the", "dog"], "^4 lines .* Line 2 .* Got 3"),
        (b"1 2\nthe 1 2\ndog 5 6\n", ["the", "dog"], r"^The header of '.*' announces 1 words, but 2 lines follow\."),
        (b"9 2\nthe 1 2\ndog 5 6\n", ["the", "dog"], "^The header of '.*' announces 9 words, but 2 lines follow"),
        (b"2 2\nthe 1 2\ndog 5 6\nca", ["the", "dog"], "^1 lines or words .* announces 2 words, but 3 lines follow"),
        (b"x" * 99 + b" 1 y\nthe 1 2\n", ["the"], "^1 lines or words .* Line 1 of .* could not convert"),
        (
            b"9 2\n" + _binary_entry(b"the", 1, 2) + _binary_entry(b"dog", 5, 6) + b"cat \0",
            ["the", "dog"],
            "^Word 3 of '.*' is cut off: the header announces 9 words of length 2",
        ),
        (
            b"4 2\n"
            + b"".join(_binary_entry(w, 1, x) for w, x in [(b"the", 2), (b"a", np.nan), (b"\xff", 1), (b"dog", 6)]),
            ["the", "dog"],
            "^2 lines or words .* Word 3 of .* not valid UTF-8",
        ),
        (b"1 1\n" + b"4 1\n", ["4"], None),
    ],
)
def test_what_cannot_be_read_is_skipped_with_one_warning(tmp_path, content, words, warning, zipped):
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read, _, vectors = read_vectors(path, errors="skip")
    assert read == words
    assert len(vectors) == len(words)
    assert [bool(re.search(warning, str(one.message))) for one in caught] == [True] * (warning is not None)
    if warning is not None:
        with pytest.raises(ModelFileError, match=r"errors='skip'|'skip', which leaves such words out"):
            read_vectors(path)


def test_file_of_which_nothing_can_be_read_is_refused_with_the_first_problem(tmp_path):
    path = tmp_path / "vectors"
    for content in (b"2 3\nthe 1 2\ndog 3 4\n", b"2 1\n" + _binary_entry(b"\xff", 1) + _binary_entry(b"a", np.inf)):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"2 lines or words of '.*' could not be read\. (Line 2|Word 1) of"):
            read_vectors(path, errors="skip")


def test_words_that_become_equal_are_counted(tmp_path):
    path = tmp_path / "vectors"
    path.write_bytes(b"nave 1 2\nna\xefve 3 4\n")
    with pytest.warns(UserWarning, match="1 words of '.*' occur again"):
        assert read_vectors(path, errors="ignore")[0] == ["nave"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"errors": "surrogateescape"}, "The 'errors' argument .* 'strict', 'replace', 'ignore', 'skip'. Got 'surrog"),
        ({"errors": None}, "The 'errors' argument .* Got None instead"),
        ({"encoding": "no-such"}, "There is no encoding 'no-such' of text"),
        ({"encoding": None}, "There is no encoding None of text"),
        ({"encoding": "rot13"}, "There is no encoding 'rot13' of text"),
        ({"encoding": "utf-16"}, "in the encoding 'utf-16' cannot be read.* Save the file as UTF-8"),
        ({"encoding": "cp500"}, "in the encoding 'cp500' cannot be read"),
    ],
)
def test_unknown_encodings_and_errors_are_named(tmp_path, options, message):
    path = tmp_path / "vectors"
    path.write_bytes(CONTENTS["GloVe"])
    with pytest.raises(ValueError, match=message):
        WordVectorEncoder.from_file(path, **options)


_TEXT_PIECES = [
    b"the",
    b"na\xefve",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"1",
    b"-2.5",
    b"1e39",
    b"nan",
    b"\0",
    b"\x0c",
    b"\xef\xbb\xbf",
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.sampled_from([b"", b"2 2\n", b"3 1\n", b"0 1\n", b"99999999999 2\n", b"1 999999\n"]),
    pieces=st.one_of(st.lists(st.sampled_from(_TEXT_PIECES), max_size=40).map(b"".join), st.binary(max_size=60)),
    is_binary=st.booleans(),
    zipped=st.booleans(),
    cut=st.integers(0, 3),
    errors=st.sampled_from(["strict", "replace", "ignore", "skip"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "gb18030"]),
    limit=st.sampled_from([None, 1, 2]),
)
def test_each_parser_reads_or_refuses_any_bytes(
    tmp_path, header, pieces, is_binary, zipped, cut, errors, encoding, limit
):
    content = header + (_binary_entry(b"a", 1, 0) if is_binary else b"") + pieces
    content = gzip.compress(content, mtime=0) if zipped else content
    path = tmp_path / "vectors"
    path.write_bytes(content[: len(content) - cut])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ words of .* occur again")
        warnings.filterwarnings("ignore", ".*What could be read is used")
        try:
            words, ranks, vectors = read_vectors(path, limit=limit, encoding=encoding, errors=errors)
        except ModelFileError:
            return
    assert len(set(words)) == len(words) == len(ranks) == len(vectors) > 0
    assert limit is None or ranks[-1] <= limit
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("restrict_to", [None, ["cat"]])
def test_warnings_about_a_file_name_the_line_of_the_caller(tmp_path, restrict_to):
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2\ncat 3 4\ndog 5 6\n")
    with pytest.warns(UserWarning, match="occur again") as seen:
        WordVectorEncoder.from_file(path, restrict_to=restrict_to)
    assert seen[0].filename == __file__
