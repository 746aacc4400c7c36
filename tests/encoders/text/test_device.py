# ruff: noqa: RUF001 (letters that look like others are the point)
"""Text encoders learn and encode the same on a torch device as on NumPy."""

import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import transferkit
from transferkit import LSAEncoder, TfidfEncoder
from transferkit._algorithms.text import hashing
from transferkit._algorithms.text.text_bytes import encode_documents
from transferkit._algorithms.text.vocabulary import decode_terms
from transferkit._training import text_counts
from transferkit.datasets import load_docstrings
from transferkit.encoders.text import _analysis

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
STATE = ("_hashes", "_checks", "_document_frequency", "_total", "_term_lengths", "_columns", "_idf")
TRICKY = "aAbB09_-'. ,\n\t\x1c\x85\xa0\u2003\u3000\x00ßéÉΣσςİı\u0301ȺǅⅧ²中文한ไ\u0640𝒳𐐀😀\ud800\U0010ffff"
CHARACTERS = st.one_of(st.sampled_from(TRICKY), st.sampled_from("ab "), st.characters(codec=None))
DOCUMENTS = st.lists(st.text(CHARACTERS, max_size=25), min_size=1, max_size=8)
OPTIONS = st.fixed_dictionaries(
    {
        "analyzer": st.sampled_from(["word", "char", "char_wb"]),
        "ngram_range": st.sampled_from([(1, 1), (1, 2), (2, 2), (1, 3), (2, 4), (3, 3)]),
        "lowercase": st.booleans(),
        "strip_accents": st.sampled_from([None, "unicode"]),
        "max_features": st.sampled_from([None, 3]),
    }
)
LEARNING = [
    {},
    {"ngram_range": (1, 3), "min_df": 2},
    {"stop_words": "english", "ngram_range": (1, 2)},
    {"stemmer": lambda word: word[:3], "ngram_range": (2, 2)},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
    {"analyzer": "char", "ngram_range": (3, 4), "max_features": 500},
    {"analyzer": str.split},
    {"vocabulary": ["parallel", "memory"]},
]


@pytest.fixture(scope="module")
def corpus():
    long = ["0123456789abcdef" * 9 + "é", "0123456789abcdef" * 9 + "è", "é" * 33]
    return [*load_docstrings(["joblib"]).data, *long, ""]


def assert_same_rows(rows, expected):
    for name in ("indptr", "indices", "data"):
        ours, theirs = getattr(rows, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_same_state(encoder, expected):
    for name in STATE:
        ours, theirs = getattr(encoder, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    # Terms lie in the order of blocks, which are larger on a device.
    spelled, expected_terms = (decode_terms(e._term_text, e._term_starts, e._term_lengths) for e in (encoder, expected))
    assert spelled == expected_terms


def assert_equal_to_numpy(documents, device, **parameters):
    expected, encoder = TfidfEncoder(**parameters), TfidfEncoder(device=device, **parameters)
    try:
        rows = expected.fit_transform(documents)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            encoder.fit(documents)
        return
    assert_same_rows(encoder.fit_transform(documents), rows)
    assert_same_state(encoder, expected)
    assert_same_rows(encoder.transform(documents * 20)[: len(documents)], rows)
    assert_same_state(TfidfEncoder(device=device, **parameters).fit(documents), expected)


@pytest.mark.filterwarnings("ignore:.*of these texts:UserWarning")
@pytest.mark.filterwarnings("ignore:No text of this batch:UserWarning")
@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=DOCUMENTS, options=OPTIONS)
@example(documents=["ΟΔΟΣ", "Σ", "ΑΣ Σ. ΑΣ\u0301 a"], options={"ngram_range": (1, 2)})
@example(documents=["a" * 64, "a" * 65, "a" * 66, "é" * 40], options={"analyzer": "char_wb", "ngram_range": (60, 66)})
@example(documents=["", "a", "", "bb"], options={"ngram_range": (2, 3)})
def test_equals_numpy_on_any_text_and_setting(device, documents, options):
    assert_equal_to_numpy(documents, device, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("parameters", LEARNING)
@pytest.mark.parametrize("block_size", [30_000, 1 << 22])
def test_equals_numpy_on_docstrings(device, parameters, block_size, corpus, monkeypatch):
    monkeypatch.setattr(_analysis, "_BLOCK_SIZE_ON_DEVICE", block_size)
    assert_equal_to_numpy(corpus, device, **parameters)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("parameters", [{}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (3, 5)}])
def test_equals_numpy_on_real_text(device, parameters, shared_data):
    texts = transferkit.datasets.load_corpus(shared_data / "wiki_en_sample" / "wiki_en_sample.txt.gz")[::300]
    assert_equal_to_numpy(list(texts), device, **parameters)


@pytest.mark.parametrize("device", DEVICES)
def test_texts_are_counted_on_the_device(device, corpus, monkeypatch):
    counted = []
    count = text_counts.count_on_device
    monkeypatch.setattr(text_counts, "count_on_device", lambda *args: counted.append(args[-1]) or count(*args))
    encoder = TfidfEncoder(device=device).fit(corpus)
    encoder.transform(corpus)
    assert [place.type for place in counted] == [device, device]


@pytest.mark.parametrize("device", DEVICES)
def test_encoders_of_either_path_stream_merge_and_transform_alike(device, corpus):
    expected = TfidfEncoder().fit(corpus)
    here, there = TfidfEncoder().partial_fit(corpus[:100]), TfidfEncoder(device=device).partial_fit(corpus[100:])
    for merged in (pickle.loads(pickle.dumps(here)).merge(there), pickle.loads(pickle.dumps(there)).merge(here)):
        assert_same_rows(merged.transform(corpus), expected.transform(corpus))
    assert_same_rows(here.partial_fit(corpus[100:]).transform(corpus), expected.transform(corpus))
    assert_same_rows(expected.set_params(device=device).transform(corpus), here.transform(corpus))


@pytest.mark.parametrize("device", DEVICES)
def test_terms_that_share_a_hash_stay_apart(device, monkeypatch):
    # Every hash becomes one of two, so that only the checks tell terms apart.
    strong = text_counts._mix
    monkeypatch.setattr(text_counts, "_mix", lambda hashes: (strong(hashes) >> 40) & 1)
    text = encode_documents(["bb aa cc aa", "dd aa bb ee"], "word", lowercase=True)
    counts = text_counts.count_on_device(text, "word", (1, 1), None, None, torch.device(device))
    assert len(np.unique(counts.hashes)) == 2
    spelled = [bytes(counts.text[s : s + n]) for s, n in zip(counts.starts, counts.lengths, strict=True)]
    keys = list(zip(counts.hashes.tolist(), counts.checks.tolist(), strict=True))
    assert sorted(keys) == keys
    found = {
        term: list(zip(counts.rows[a:b].tolist(), counts.counts[a:b].tolist(), strict=True))
        for term, a, b in zip(spelled, counts.indptr, counts.indptr[1:], strict=False)
    }
    assert found == {
        b"aa": [(0, 2), (1, 1)],
        b"bb": [(0, 1), (1, 1)],
        b"cc": [(0, 1)],
        b"dd": [(1, 1)],
        b"ee": [(1, 1)],
    }


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None)
@given(strings=st.lists(st.text(max_size=90), min_size=1, max_size=20))
def test_hashes_have_the_same_bits(device, strings):
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(string) for string in encoded])
    text = np.frombuffer(bytearray(b"".join(encoded) + b" " * 8), np.uint8)
    starts = np.cumsum(lengths) - lengths
    tensors = (torch.from_numpy(array).to(device) for array in (text, starts, lengths))
    for ours, expected in zip(
        text_counts._hash_spans(*tensors), hashing.hash_spans(text, starts, lengths), strict=True
    ):
        np.testing.assert_array_equal(ours.cpu().numpy().view(np.uint64), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_lsa_finds_the_same_vectors(device, corpus):
    expected, encoder = LSAEncoder(n_components=16), LSAEncoder(n_components=16, device=device)
    rows = expected.fit_transform(corpus)
    np.testing.assert_allclose(encoder.fit_transform(corpus), rows, atol=2e-3)
    np.testing.assert_allclose(encoder.singular_values_, expected.singular_values_, rtol=1e-5)
    np.testing.assert_allclose(encoder.components_[:8], expected.components_[:8], atol=1e-4)
    for lsa in (expected, encoder):
        lsa.partial_fit(corpus[:200])  # with the summary of what came before
    np.testing.assert_allclose(encoder.singular_values_, expected.singular_values_, rtol=1e-4)
    assert type(encoder.components_) is np.ndarray


def test_fit_refuses_a_device_that_is_not_there_and_stays_unfitted():
    for make in (TfidfEncoder, LSAEncoder):
        with pytest.raises(ValueError, match="device='cuda:99' is not on this machine"):
            make(device="cuda:99").fit(["aa bb", "aa bb"])
        with pytest.raises(ValueError, match="Got 'abacus' instead"):
            make(device="abacus").fit(["aa bb", "aa bb"])


def test_auto_without_a_gpu_is_numpy(corpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(text_counts, "count_on_device", None)
    assert_same_rows(TfidfEncoder(device="auto").fit_transform(corpus), TfidfEncoder().fit_transform(corpus))


@pytest.mark.parametrize("device", ["auto", "cuda:99"])
@pytest.mark.parametrize("make", [TfidfEncoder, LSAEncoder])
def test_model_of_a_gpu_machine_serves_without_its_gpu(make, device, corpus, tmp_path):
    encoder = make().fit(corpus)
    expected = encoder.transform(corpus)
    encoder.set_params(device=device)  # as if it had been fitted there: the state is the same
    if make is LSAEncoder:
        encoder.tfidf_.set_params(device=device)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    for loaded in (pickle.loads(pickle.dumps(encoder)), transferkit.load(tmp_path / "encoder.tk")):
        rows = loaded.transform(corpus)
        assert abs(rows - expected).max() == 0


CODE = """
import sys
from transferkit import load
print(load(sys.argv[1]).transform(["parallel memory"] * 40).sum())
"""


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:1"])
def test_model_of_a_device_serves_without_torch(device, corpus, tmp_path, run_without_torch):
    encoder = TfidfEncoder(device="cpu").fit(corpus).set_params(device=device)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    expected = TfidfEncoder().fit(corpus).transform(["parallel memory"] * 40).sum()
    assert float(run_without_torch(CODE, tmp_path / "encoder.tk")) == pytest.approx(expected)
