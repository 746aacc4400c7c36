"""A frozen encoder survives clone, learns nothing, and encodes each sample once per process."""

import gc
import os
import pickle
import threading
import time
from functools import partial

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

import transferkit
from transferkit import (
    LogisticHead,
    LSAEncoder,
    PretrainedEncoder,
    SentenceEncoder,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
)
from transferkit.encoders import _embedding_cache
from transferkit.encoders._pretrained import _encode_rows
from transferkit.exceptions import ModelFileError
from transferkit.persistence import fingerprint

TEXTS = [f"text number {number} of the {'cats' if number % 2 else 'dogs'}" for number in range(120)]
LABELS = [number % 2 for number in range(120)]


class CountingEncoder(TransformerMixin, BaseEstimator):
    """Encodes a text as its length and number of words, and records the texts that it encodes."""

    encoded = []  # on the class: shared by all copies of an encoder in this process

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        type(self).encoded.extend(X)
        return np.array([[len(text), text.count(" ") + text.count("cats")] for text in X], dtype=np.float32)


@pytest.fixture(autouse=True)
def forget_embeddings():
    _embedding_cache.clear_embeddings()
    CountingEncoder.encoded.clear()


def count_kept():
    return sum(len(block.digests) for block in _embedding_cache._CACHE._blocks.values())


@pytest.fixture
def counting_path(tmp_path):
    joblib.dump(CountingEncoder().fit(TEXTS), tmp_path / "encoder.joblib")
    return tmp_path / "encoder.joblib"


def test_search_encodes_each_document_once(counting_path):
    model = make_pipeline(PretrainedEncoder(counting_path), LogisticHead())
    search = GridSearchCV(model, {"logistichead__C": [0.01, 0.1, 1.0, 10.0, 100.0]}, cv=4)
    search.fit(TEXTS, LABELS)
    search.predict(TEXTS)
    assert sorted(CountingEncoder.encoded) == sorted(TEXTS)
    assert len(CountingEncoder.encoded) == 120


def test_search_over_a_model_file_encodes_each_document_once(tmp_path, monkeypatch):
    transferkit.save(LSAEncoder(8).fit(TEXTS), tmp_path / "encoder.tk")
    pretrained = PretrainedEncoder(tmp_path / "encoder.tk")
    pretrained.fit()  # loading compares the file with its probe, which encodes other samples
    encoded, original = [], LSAEncoder.transform
    monkeypatch.setattr(LSAEncoder, "transform", lambda self, X: encoded.extend(X) or original(self, X))
    search = GridSearchCV(make_pipeline(pretrained, LogisticHead()), {"logistichead__C": [0.1, 1, 10, 100, 1000]}, cv=4)
    search.fit(TEXTS, LABELS)
    assert len(encoded) == 120


def test_cache_size_zero_switches_the_cache_off(counting_path):
    encoder = PretrainedEncoder(counting_path, cache_size=0)
    encoder.transform(TEXTS[:3])
    encoder.transform(TEXTS[:3])
    assert len(CountingEncoder.encoded) == 6


def test_repeated_rows_are_encoded_once_and_come_back_in_order(counting_path):
    encoder = PretrainedEncoder(counting_path)
    rows = [TEXTS[5], TEXTS[1], TEXTS[5], "", TEXTS[1]]
    np.testing.assert_array_equal(encoder.transform(rows), CountingEncoder().transform(rows))
    CountingEncoder.encoded.clear()
    np.testing.assert_array_equal(encoder.transform(rows[::-1]), CountingEncoder().transform(rows[::-1]))
    assert len(CountingEncoder.encoded) == len(rows)  # all by the reference, none by the frozen encoder


def test_cache_stays_below_its_bound():
    X = np.random.RandomState(0).rand(1000, 250)
    frozen = PretrainedEncoder(StandardScaler().fit(X), cache_size=0.5)
    expected = frozen.source.transform(X)
    for start in range(0, 1000, 100):
        np.testing.assert_allclose(frozen.transform(X[start : start + 100]), expected[start : start + 100])
        assert _embedding_cache._CACHE._n_bytes <= 0.5e6
    kept = count_kept()
    assert 100 < kept < 250
    frozen.transform(X[:1])  # the oldest was dropped, and is encoded again
    assert count_kept() <= kept + 1


def test_call_that_exceeds_the_bound_alone_keeps_its_end():
    X = np.random.RandomState(0).rand(1000, 250)
    frozen = PretrainedEncoder(StandardScaler().fit(X), cache_size=1.5)
    expected = frozen.source.transform(X)
    for _ in range(2):
        np.testing.assert_allclose(frozen.transform(X), expected)
        assert 0 < _embedding_cache._CACHE._n_bytes <= 1.5e6
        assert 200 < count_kept() < 750


def test_rows_that_were_used_last_are_kept():
    encoded = []

    def transform(texts):
        encoded.extend(texts)
        return np.zeros((len(texts), 100))

    bound = 2.5 * (100 * 8 + _embedding_cache._BYTES_PER_SAMPLE + _embedding_cache._BYTES_PER_BLOCK)  # of two rows
    for text in ["a", "b", "a", "c", "a", "b"]:
        _embedding_cache.encode_once(transform, "f", [text], bound)
    assert encoded == ["a", "b", "c", "b"]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("seconds_per_row", "n_rows", "is_kept"), [(1e-6, 4096, False), (1e-6, 4095, True), (1e-4, 4096, True)]
)
def test_many_rows_of_numbers_are_kept_only_where_encoding_takes_longer(
    seconds_per_row, n_rows, is_kept, form, monkeypatch
):
    seconds, n_encoded = [0.0], []
    monkeypatch.setattr(_embedding_cache, "perf_counter", lambda: seconds[0])

    def transform(X):
        seconds[0] += 0.1 * (not n_encoded) + seconds_per_row * X.shape[0]  # the first call is slower
        n_encoded.append(X.shape[0])
        return X * 2

    X = np.arange(n_rows * 2.0).reshape(n_rows, 2)
    for _ in range(3):
        rows = _embedding_cache.encode_once(transform, "f", form(X), 1e9)
        np.testing.assert_array_equal(rows.toarray() if sparse.issparse(rows) else rows, X * 2)
    assert (count_kept() == n_rows) == is_kept
    assert n_encoded.count(n_rows) == (1 if is_kept else 3)
    assert sum(n_encoded) <= n_encoded.count(n_rows) * n_rows + n_rows / 10


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array])
def test_result_is_the_same_whether_rows_are_kept_or_not(form, monkeypatch):
    X = np.arange(8.0).reshape(4, 2)
    results = []
    for most_seconds, n_many in [(0.0, 2), (1e9, 2), (0.0, 5)]:  # kept, encoded again, too few to measure
        _embedding_cache.clear_embeddings()
        monkeypatch.setattr(_embedding_cache, "_SECONDS_TO_KEEP", most_seconds)
        monkeypatch.setattr(_embedding_cache, "_MANY", n_many)
        monkeypatch.setattr(_embedding_cache, "_TRIED", 2)
        results.append(_embedding_cache.encode_once(lambda rows: form(rows * 2), "f", X, 1e9))
        assert (count_kept() == 0) == (most_seconds > 0)
    assert len({type(result) for result in results}) == 1
    for result in results:
        np.testing.assert_array_equal(result.toarray() if sparse.issparse(result) else result, X * 2)


def test_costs_of_a_bounded_number_of_encoders_are_remembered(monkeypatch):
    monkeypatch.setattr(_embedding_cache, "_MOST_COSTS", 3)
    monkeypatch.setattr(_embedding_cache, "_MANY", 2)
    monkeypatch.setattr(_embedding_cache, "_TRIED", 1)
    monkeypatch.setattr(_embedding_cache, "perf_counter", lambda: 0.0)
    calls = []

    def transform(rows):
        calls.append(len(rows))
        return rows

    X = np.eye(2)
    for name in ["a", "b", "c", "d"]:
        _embedding_cache.encode_once(transform, name, X, 1e9)
    assert list(_embedding_cache._CACHE.costs) == ["b", "c", "d"]
    before = len(calls)
    _embedding_cache.encode_once(transform, "b", X, 1e9)
    assert calls[before:] == [2]  # the time is known, so no samples are encoded to measure it


def test_many_texts_are_kept_however_fast_they_are_encoded(monkeypatch):
    monkeypatch.setattr(_embedding_cache, "perf_counter", lambda: 0.0)
    texts = [str(number) for number in range(5000)]
    for _ in range(2):
        _embedding_cache.encode_once(CountingEncoder().transform, "f", texts, 1e9)
    assert len(CountingEncoder.encoded) == 5000


def test_threads_share_the_work_and_get_the_right_rows():
    class Slow(CountingEncoder):
        def transform(self, X):
            time.sleep(0.02)
            return super().transform(X)

    encoder = Slow().fit(TEXTS)
    _embedding_cache.clear_embeddings()
    expected, failures = CountingEncoder().transform(TEXTS), []
    CountingEncoder.encoded.clear()

    def work(seed):
        order = np.random.RandomState(seed).permutation(120)
        for part in np.array_split(order, 6):
            rows = _embedding_cache.encode_once(encoder.transform, "slow", [TEXTS[i] for i in part], 1e9)
            if not np.array_equal(rows, expected[part]):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(Slow.encoded) == 120


def test_failure_in_one_thread_is_not_the_failure_of_another():
    started, go_on = threading.Event(), threading.Event()

    def transform(X):
        if "bad" in X:
            started.set()
            go_on.wait(5)
            raise ValueError("bad row")
        return np.array([[len(text)] for text in X])

    errors, rows = [], []

    def fail():
        try:
            _embedding_cache.encode_once(transform, "f", ["good", "bad"], 1e9)
        except ValueError as error:
            errors.append(str(error))

    first = threading.Thread(target=fail)
    first.start()
    started.wait(5)
    second = threading.Thread(target=lambda: rows.append(_embedding_cache.encode_once(transform, "f", ["good"], 1e9)))
    second.start()
    go_on.set()
    first.join(5)
    second.join(5)
    assert errors == ["bad row"]
    assert rows[0].tolist() == [[4]]


class Wrong(TransformerMixin, BaseEstimator):
    """Returns the result of a function of its input."""

    def __init__(self, answer):
        self.answer = answer

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return self.answer(X)


def _finishes(function):
    """Return whether a call ends: it never does if it waits for samples that no thread encodes."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


@pytest.mark.parametrize("cache_size", [0, 1])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda X: np.zeros((len(X) - 1, 2)), "The transform of Wrong returned 2 rows for 3 rows"),
        (lambda X: sparse.csr_matrix((len(X) + 1, 2)), "The transform of Wrong returned 4 rows for 3 rows"),
        (lambda X: None, "The transform of Wrong returned a NoneType for 3 rows"),
        (lambda X: np.float32(1), "The transform of Wrong returned a float32 for 3 rows"),
    ],
)
@pytest.mark.parametrize("X", [["a", "b", "c"], np.eye(3)], ids=["texts", "numbers"])
def test_wrong_number_of_rows_is_an_error_each_time(X, answer, message, cache_size):
    encoder = PretrainedEncoder(Wrong(answer).fit(None), cache_size=cache_size)
    errors = []

    def encode():
        with pytest.raises(ValueError, match=message) as error:
            encoder.transform(X)
        errors.append(error.value)

    assert _finishes(encode)
    assert _finishes(encode)
    assert len(errors) == 2
    assert count_kept() == 0


@pytest.mark.parametrize("step", ["_to_plain", "take_rows", "_Block"])
def test_rows_can_be_encoded_after_any_error(step, monkeypatch):
    def fail(*_):
        raise MemoryError(step)

    rows = ["a", "bb", "ccc"]
    encode = partial(_embedding_cache.encode_once, CountingEncoder().transform, "f", rows, 1e9)
    with monkeypatch.context() as patched:
        patched.setattr(_embedding_cache, step, fail, raising=False)
        with pytest.raises(MemoryError, match=step):
            encode()
    assert _finishes(encode)
    np.testing.assert_array_equal(encode(), CountingEncoder().transform(rows))


def test_wrong_rows_in_one_thread_are_encoded_by_the_other():
    started, go_on, rows = threading.Event(), threading.Event(), []

    def too_few(X):
        started.set()
        go_on.wait(5)
        return np.zeros((len(X) - 1, 1))

    def encode_wrongly():
        with pytest.raises(ValueError, match="returned 1 rows for 2 rows"):
            _embedding_cache.encode_once(partial(_encode_rows, Wrong(too_few)), "f", ["a", "bb"], 1e9)

    first = threading.Thread(target=encode_wrongly, daemon=True)
    first.start()
    started.wait(5)
    right = partial(_embedding_cache.encode_once, CountingEncoder().transform, "f", ["bb", "ccc"], 1e9)
    second = threading.Thread(target=lambda: rows.append(right()), daemon=True)
    second.start()
    go_on.set()
    second.join(5)
    first.join(5)
    np.testing.assert_array_equal(rows[0], CountingEncoder().transform(["bb", "ccc"]))


def test_child_processes_start_with_an_empty_cache(counting_path):
    PretrainedEncoder(counting_path).transform(TEXTS[:4])
    assert count_kept() == 4
    if not hasattr(os, "fork"):
        pytest.skip("processes do not fork here")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(count_kept()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"0"


@pytest.mark.parametrize("as_path", [True, False])
def test_clone_keeps_what_was_pretrained(as_path, tmp_path):
    encoder = TfidfEncoder().fit(TEXTS)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    source = str(tmp_path / "encoder.tk") if as_path else encoder
    cloned = clone(clone(PretrainedEncoder(source, cache_size=7)))
    assert cloned.source is source
    assert cloned.cache_size == 7
    assert (cloned.transform(TEXTS) != encoder.transform(TEXTS)).nnz == 0


def test_clone_has_output_settings_of_its_own():
    frozen = PretrainedEncoder(StandardScaler().fit(np.eye(3))).set_output(transform="pandas")
    cloned = clone(frozen).set_output(transform="default")
    assert type(frozen.transform(np.eye(3))).__name__ == "DataFrame"
    assert isinstance(cloned.transform(np.eye(3)), np.ndarray)


@pytest.mark.parametrize("union", [False, True])
def test_pipeline_whose_last_step_needs_no_fit_may_not_be_fitted(union):
    rows = np.random.RandomState(0).rand(20, 3)
    pipeline = make_pipeline(StandardScaler(), Normalizer())
    pipeline = make_union(pipeline, PCA(1)) if union else pipeline
    with pytest.raises(NotFittedError, match=f"Got an unfitted {type(pipeline).__name__}"):
        PretrainedEncoder(pipeline).transform(rows)
    assert TransferClassifier(pipeline, strategy="frozen").fit(rows, rows[:, 0] > 0.5).predict(rows).dtype == bool
    fitted = pipeline.fit(rows)
    np.testing.assert_array_equal(PretrainedEncoder(fitted).transform(rows), fitted.transform(rows))
    stateless = make_pipeline(FunctionTransformer(), Normalizer())
    np.testing.assert_allclose(PretrainedEncoder(stateless).transform(rows), stateless.transform(rows))


def test_fit_learns_nothing():
    encoder = TfidfEncoder().fit(TEXTS)
    frozen = PretrainedEncoder(encoder)
    before = pickle.dumps(frozen)
    assert frozen.fit(["other words"]) is frozen
    assert frozen.fit(["other words"], [1]) is frozen
    assert pickle.dumps(frozen) == before


def test_encoder_that_is_fitted_again_is_another_encoder():
    encoder = TfidfEncoder().fit(["one two"])
    frozen = PretrainedEncoder(encoder)
    assert frozen.transform(["one three"]).shape == (1, 2)
    encoder.fit(["one three four"])
    assert frozen.transform(["one three"]).toarray().tolist() == encoder.transform(["one three"]).toarray().tolist()


def test_encoder_that_is_changed_in_place_is_another_one_after_refresh():
    encoder = StandardScaler().fit(np.arange(6.0).reshape(3, 2))
    frozen = PretrainedEncoder(encoder)
    cloned, before = clone(frozen), frozen.transform([[1.0, 2.0]])
    encoder.mean_[:] += 1
    assert frozen.refresh() is frozen
    for each in (frozen, cloned):
        np.testing.assert_array_equal(each.transform([[1.0, 2.0]]), encoder.transform([[1.0, 2.0]]))
    assert not np.array_equal(frozen.transform([[1.0, 2.0]]), before)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_rows_of_many_blocks_come_back_in_order(form, monkeypatch):
    monkeypatch.setattr(_embedding_cache, "_BLOCK", 2)
    X = np.arange(24.0).reshape(12, 2)
    frozen = PretrainedEncoder(FunctionTransformer(lambda X: X * 2, accept_sparse=True).fit(form(X)))
    random = np.random.RandomState(0)
    for _ in range(10):
        rows = random.randint(0, 12, 9)
        embeddings = frozen.transform(form(X[rows]))
        assert type(embeddings) is type(form(X))
        np.testing.assert_array_equal(embeddings.toarray() if sparse.issparse(embeddings) else embeddings, 2 * X[rows])


def test_encoder_that_learned_on_is_another_encoder():
    for encoder in (TfidfEncoder(), LSAEncoder(2, min_df=1), WordVectorEncoder(2, min_count=1)):
        frozen = PretrainedEncoder(encoder.partial_fit(["one two", "two three"]))
        before = frozen.transform(["one two three four"])
        frozen.transform(["one two three four"])
        encoder.partial_fit(["four five", "one five four"])
        after, expected = frozen.transform(["one two three four"]), encoder.transform(["one two three four"])
        after, before, expected = (
            rows.toarray() if sparse.issparse(rows) else rows for rows in (after, before, expected)
        )
        np.testing.assert_allclose(after, expected, atol=1e-6)
        assert after.shape != before.shape or not np.allclose(after, before)


def test_encoder_of_a_file_is_named_without_being_read(tmp_path, monkeypatch):
    transferkit.save(TfidfEncoder().fit(TEXTS), tmp_path / "encoder.tk")
    monkeypatch.setattr("joblib.hash", lambda value: pytest.fail("read to be named"))
    first, second = (transferkit.load(tmp_path / "encoder.tk") for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    monkeypatch.undo()
    second.fit(TEXTS[:3])
    assert fingerprint(first) != fingerprint(second)


def test_replaced_file_is_another_encoder(tmp_path):
    path = tmp_path / "encoder.tk"
    transferkit.save(TfidfEncoder().fit(["one two"]), path)
    frozen = PretrainedEncoder(path)
    assert frozen.transform(["one two three"]).shape == (1, 2)
    transferkit.save(TfidfEncoder().fit(["one two three"]), path)
    assert frozen.transform(["one two three"]).shape == (1, 3)


def test_rows_of_numbers_are_kept_apart_by_type_and_width():
    X = np.arange(12.0).reshape(4, 3)
    for rows in (X, X.astype(np.float32), sparse.csr_matrix(X), X.tolist()):
        scaler = StandardScaler(with_mean=False).fit(X)
        frozen = PretrainedEncoder(scaler)
        for _ in range(2):
            output, expected = frozen.transform(rows), scaler.transform(rows)
            assert output.dtype == expected.dtype
            assert sparse.issparse(output) == sparse.issparse(expected)
            np.testing.assert_array_equal(*(m.toarray() if sparse.issparse(m) else m for m in (output, expected)))


def test_unsorted_sparse_rows_are_left_as_they_are():
    X = sparse.csr_matrix((np.array([1.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    PretrainedEncoder(StandardScaler(with_mean=False).fit(np.random.RandomState(0).rand(5, 3))).transform(X)
    assert X.indices.tolist() == [2, 0]


def test_data_frames_reach_the_encoder_as_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.RandomState(0).rand(6, 3), columns=["a", "b", "c"])
    pca = PCA(2).fit(frame)
    frozen = PretrainedEncoder(pca)
    for _ in range(2):  # a warning about missing feature names would fail the test
        np.testing.assert_allclose(frozen.transform(frame), pca.transform(frame), atol=1e-12)
    assert frozen.get_feature_names_out().tolist() == ["pca0", "pca1"]


def test_pipeline_with_it_scores_like_one_without():
    encoder = LSAEncoder(8).fit(TEXTS)
    with_it = cross_val_score(make_pipeline(PretrainedEncoder(encoder), LogisticHead()), TEXTS, LABELS, cv=3)
    without = cross_val_score(LogisticHead(), encoder.transform(TEXTS), LABELS, cv=3)
    np.testing.assert_allclose(with_it, without)


def count_letters(text):
    return list(text.replace(" ", ""))


def test_file_with_trusted_parts_is_used_by_its_path(tmp_path):
    save_path, names = tmp_path / "encoder.tk", [f"{CountingEncoder.__module__}.CountingEncoder"]
    for encoder, trusted in [
        (CountingEncoder().fit(TEXTS), [CountingEncoder]),
        (TfidfEncoder(tokenizer=count_letters, token_pattern=None).fit(TEXTS), [count_letters]),
        (SentenceEncoder("some/name"), ["some/name"]),
    ]:
        transferkit.save(encoder, save_path, trusted=trusted)
        with pytest.raises(ModelFileError, match=r"name it: trusted="):
            PretrainedEncoder(save_path).fit()
        frozen = clone(PretrainedEncoder(save_path, trusted=trusted)).fit()
        assert type(frozen.encoder_) is type(encoder)
        assert frozen.encoder_ is frozen.encoder_
        with pytest.raises(ModelFileError, match=r"name it: trusted="):  # trust of one caller is not that of another
            PretrainedEncoder(save_path, trusted=["another.Name"]).fit()
    transferkit.save(CountingEncoder().fit(TEXTS), save_path, trusted=names)
    model = make_pipeline(PretrainedEncoder(save_path, trusted=names), LogisticHead()).fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "model.tk", trusted=names)
    loaded = transferkit.load(tmp_path / "model.tk", trusted=names)
    assert loaded[0].trusted is None  # the encoder itself is in the file
    assert loaded.predict(TEXTS).tolist() == model.predict(TEXTS).tolist()


@pytest.mark.parametrize("trusted", ["my_package.cut", 7])
def test_trusted_must_be_a_list(trusted, tmp_path):
    transferkit.save(TfidfEncoder().fit(TEXTS), tmp_path / "encoder.tk")
    with pytest.raises(ValueError, match="The 'trusted' parameter of PretrainedEncoder must be"):
        PretrainedEncoder(tmp_path / "encoder.tk", trusted=trusted).fit()


def test_file_cannot_say_what_is_trusted(tmp_path, monkeypatch):
    frozen = PretrainedEncoder(TfidfEncoder().fit(TEXTS))
    monkeypatch.setattr(
        PretrainedEncoder,
        "get_file_state",
        lambda self: {"source": self.source, "cache_size": 1, "trusted": ["a"]},
    )
    transferkit.save(frozen, tmp_path / "encoder.tk")
    with pytest.raises(ModelFileError, match="itself lists names to trust"):
        transferkit.load(tmp_path / "encoder.tk")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_rows_are_those_of_the_encoder_whatever_was_encoded_before(form):
    X = np.random.RandomState(0).randint(0, 5, (60, 3)).astype(float)
    encoder = FunctionTransformer(lambda X: X * 3, accept_sparse=True).fit(form(X))  # exact in any order
    frozen = PretrainedEncoder(encoder)
    for rows in ([5, 3, 5], [3], list(range(60))[::-1], [59, 0, 5]):
        given = form(X[rows])
        np.testing.assert_array_equal(*(sparse.csr_matrix(m).toarray() for m in (frozen.transform(given), 3 * given)))


def test_cache_size_zero_gives_an_encoder_whole_batches():
    centre = FunctionTransformer(lambda X: X - X.mean(axis=0)).fit(np.eye(2))
    first, second = np.array([[1.0, 0], [3.0, 0]]), np.array([[1.0, 0], [5.0, 0]])
    whole, kept = PretrainedEncoder(centre, cache_size=0), PretrainedEncoder(centre)
    for batch in (first, second):
        np.testing.assert_array_equal(whole.transform(batch), centre.transform(batch))
    assert kept.transform(first)[:, 0].tolist() == [-1, 1]
    assert kept.transform(second)[:, 0].tolist() == [-1, 0]  # that of the first batch, and the other one alone


def test_texts_are_not_kept_in_memory(counting_path):
    PretrainedEncoder(counting_path).transform([f"a secret {number}" for number in range(3)])
    CountingEncoder.encoded.clear()
    gc.collect()
    assert count_kept() == 3
    assert "a secret" not in str(_embedding_cache._CACHE._blocks)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("nowhere.tk", ModelFileError, "There is no model file 'nowhere.tk'"),
        ("nowhere.joblib", ModelFileError, "There is no model file 'nowhere.joblib'"),
        (
            TfidfEncoder(),
            NotFittedError,
            "The source of PretrainedEncoder must be fitted. Got an unfitted TfidfEncoder",
        ),
        (7, ValueError, "The 'source' parameter of PretrainedEncoder must be"),
        (LogisticHead(), ValueError, "The 'source' parameter of PretrainedEncoder must be"),
    ],
)
def test_source_that_cannot_encode_is_named(source, error, message):
    for use in (lambda frozen: frozen.fit(TEXTS), lambda frozen: frozen.transform(TEXTS)):
        with pytest.raises(error, match=message):
            use(PretrainedEncoder(source))


def test_file_without_a_transformer_is_named(tmp_path):
    transferkit.save(LogisticHead().fit(np.eye(2), [0, 1]), tmp_path / "head.tk")
    with pytest.raises(TypeError, match="holds a LogisticHead, which cannot encode"):
        PretrainedEncoder(tmp_path / "head.tk").fit()


def test_damaged_pickle_is_named(tmp_path):
    (tmp_path / "encoder.joblib").write_bytes(b"no pickle")
    with pytest.raises(ModelFileError, match="could not be loaded by joblib"):
        PretrainedEncoder(tmp_path / "encoder.joblib").fit()


def test_cache_size_is_checked():
    with pytest.raises(ValueError, match="The 'cache_size' parameter of PretrainedEncoder must be a float"):
        PretrainedEncoder(TfidfEncoder().fit(TEXTS), cache_size=-1).fit()


@pytest.mark.parametrize("X", ["a bare string", [], ["a", None]])
def test_bad_texts_are_refused(X):
    with pytest.raises(ValueError, match=r"bare str|at least one text|position 1 is missing"):
        PretrainedEncoder(TfidfEncoder().fit(TEXTS)).transform(X)


def test_encoder_that_cannot_be_pickled_is_encoded_once_too():
    calls = []
    encoder = FunctionTransformer(lambda rows: (calls.append(len(rows)), rows)[1]).fit(np.ones((3, 2)))
    pretrained = PretrainedEncoder(encoder)
    calls.clear()
    np.testing.assert_array_equal(pretrained.transform(np.ones((1, 2))), clone(pretrained).transform(np.ones((1, 2))))
    assert calls == [1]
    assert fingerprint(encoder) != fingerprint(FunctionTransformer(lambda rows: rows).fit(np.ones((3, 2))))
