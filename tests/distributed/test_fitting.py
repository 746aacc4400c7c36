"""fit_sharded: the result of one machine, whatever the workers, the order and the faults."""

import os
import pickle
import signal
import time

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

import transferkit
from transferkit import KMeansEncoder, LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.distributed import fit_sharded
from transferkit.exceptions import ShardError, WorkerLostError

ENCODERS = {
    "tfidf": TfidfEncoder(min_df=2, ngram_range=(1, 2)),
    "lsa": LSAEncoder(16, n_iter=2),
    "words": WordVectorEncoder(16, min_count=3),
}


@pytest.fixture(scope="module")
def whole(texts):
    """The encoders fitted on one machine, with `fit`."""
    return {name: encoder.fit(texts) for name, encoder in copies().items()}


def copies():
    return {name: pickle.loads(pickle.dumps(encoder)) for name, encoder in ENCODERS.items()}


def assert_equal(found, expected, texts):
    assert found.n_documents_ == expected.n_documents_
    assert found.vocabulary_ == expected.vocabulary_
    if isinstance(found, TfidfEncoder):
        np.testing.assert_array_equal(found.idf_, expected.idf_)
    elif isinstance(found, LSAEncoder):
        np.testing.assert_array_equal(found.tfidf_.idf_, expected.tfidf_.idf_)
        np.testing.assert_allclose(found.singular_values_, expected.singular_values_, rtol=1e-5)
        np.testing.assert_allclose(found.transform(texts), expected.transform(texts), atol=1e-3)
    else:
        np.testing.assert_array_equal(found.frequency_, expected.frequency_)
        np.testing.assert_array_equal(found.idf_, expected.idf_)
        np.testing.assert_allclose(found.vectors_, expected.vectors_, atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("merge_every", [1, 4])
def test_equals_fit_on_one_machine_in_any_order(name, merge_every, shards, whole, texts):
    encoder = copies()[name]
    turned = [shard[::-1] for shard in shards[5:] + shards[:5]]
    for order in (shards, shards[::-1], [turned[0], [], *turned[1:]]):
        assert fit_sharded(encoder, order, merge_every=merge_every) is encoder
        assert_equal(encoder, whole[name], texts)
        assert encoder.n_shards_ == len(order)
        assert encoder.skipped_shards_ == []


@pytest.mark.parametrize("name", ENCODERS)
def test_equals_fit_on_a_cluster(name, client, shards, whole, texts):
    encoder = fit_sharded(copies()[name], shards, client=client, merge_every=2)
    assert_equal(encoder, whole[name], texts)
    assert encoder.n_shards_ == len(shards)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_runs_on_backends_of_joblib(backend, shards, whole, texts):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        for name, encoder in copies().items():
            assert_equal(fit_sharded(encoder, shards), whole[name], texts)


def test_runs_on_ray(shards, whole, texts):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        with joblib.parallel_config(backend="ray", n_jobs=2):
            assert_equal(fit_sharded(copies()["tfidf"], shards), whole["tfidf"], texts)
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("kind", "with_cluster"),
    [("dense", False), ("dense", True), ("whitened", False), ("sparse", False), ("lists", False)],
)
def test_k_means_takes_the_steps_of_one_machine(kind, with_cluster, request):
    random = np.random.RandomState(0)
    rows = (random.normal(size=(2500, 12)) + 5 * random.randint(0, 3, (2500, 12))).astype(np.float32)
    if kind == "sparse":
        rows = sparse.csr_matrix(rows * (rows > 4))
    shards = [rows[begin : begin + 300] for begin in range(0, 2500, 300)]
    if kind == "lists":
        shards = [shard.tolist() for shard in shards]
    client = request.getfixturevalue("client") if with_cluster else None
    found = fit_sharded(KMeansEncoder(12, whiten=kind == "whitened", max_iter=8), shards, client=client)
    expected = KMeansEncoder(12, whiten=kind == "whitened", max_iter=8).fit(rows)
    assert found.n_iter_ == expected.n_iter_
    np.testing.assert_array_equal(found.counts_, expected.counts_)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, atol=1e-4)
    np.testing.assert_allclose(found.inertia_, expected.inertia_, rtol=1e-6)
    np.testing.assert_allclose(found.transform(rows), expected.transform(rows), atol=1e-3)
    assert found.counts_.sum() == 2500


def test_k_means_fills_clusters_without_rows_from_any_shard():
    rows = np.repeat(np.arange(4, dtype=np.float32), 5)[:, None]
    encoder = fit_sharded(KMeansEncoder(4, init="random", n_init=1), np.array_split(rows, 5))
    assert sorted(encoder.cluster_centers_.ravel().tolist()) == [0, 1, 2, 3]
    assert encoder.inertia_ == 0


def test_k_means_rejects_patches_and_shards_that_do_not_fit():
    with pytest.raises(ValueError, match="patches"):
        fit_sharded(KMeansEncoder(4, patches=(3, 1), image_shape=(8, 8)), [np.ones((9, 64))])
    with pytest.raises(ValueError, match="n_samples=6"):
        fit_sharded(KMeansEncoder(9), [np.ones((3, 2)), np.ones((3, 2))])
    with pytest.raises(ValueError, match="numbers of features: 2 and 3"):
        fit_sharded(KMeansEncoder(2), [np.ones((3, 2)), np.ones((3, 3))])


def test_other_estimators_need_partial_fit_and_merge(client, shards):
    class Counter(BaseEstimator):
        def partial_fit(self, X):
            self.n_ = getattr(self, "n_", 0) + len(X)
            return self

        def merge(self, other):
            self.n_ += other.n_
            return self

    assert fit_sharded(Counter(), shards, client=client).n_ == 700
    with pytest.raises(TypeError, match="PretrainedEncoder"):
        fit_sharded(transferkit.PretrainedEncoder(TfidfEncoder()), shards)


@pytest.mark.parametrize("name", ["tfidf", "words"])
@pytest.mark.parametrize("with_cluster", [False, True])
def test_is_fitted_further_only_with_its_statistics(name, with_cluster, shards, texts, request):
    client = request.getfixturevalue("client") if with_cluster else None
    slim = fit_sharded(copies()[name], shards, client=client)
    with pytest.raises(ValueError, match="cannot be fitted further"):
        slim.partial_fit(texts[:10])
    kept = fit_sharded(copies()[name], shards[:6], client=client, keep_statistics=True)
    rest = fit_sharded(copies()[name], shards[6:], client=client, keep_statistics=True)
    assert_equal(kept.merge(rest), slim, texts)
    assert len(pickle.dumps(slim)) < len(pickle.dumps(kept))


def test_record_of_shards_is_saved_and_forgotten_by_the_next_fit(shards, texts, tmp_path):
    for name, encoder in copies().items():
        fit_sharded(encoder, shards)
        transferkit.save(encoder, tmp_path / "encoder.tk")
        loaded = transferkit.load(tmp_path / "encoder.tk")
        assert loaded.n_shards_ == len(shards)
        np.testing.assert_array_equal(
            *(
                one.transform(texts[:5]) if name != "tfidf" else one.transform(texts[:5]).toarray()
                for one in (encoder, loaded)
            )
        )
        assert not hasattr(encoder.fit(texts), "n_shards_")


def failing(shards, number):
    def fail():
        raise OSError("the disk is gone")

    return [fail if k == number else shard for k, shard in enumerate(shards)]


@pytest.mark.parametrize(("name", "with_cluster"), [("tfidf", True), ("lsa", False), ("lsa", True), ("words", False)])
def test_shard_that_cannot_be_read_is_named_or_left_out(name, with_cluster, shards, texts, request):
    client = request.getfixturevalue("client") if with_cluster else None
    encoder = copies()[name]
    with pytest.raises(ShardError, match="'shard 3' failed: OSError: the disk is gone") as caught:
        fit_sharded(encoder, failing(shards, 3), client=client)
    assert caught.value.name == "shard 3"
    assert not hasattr(encoder, "n_shards_")
    with pytest.warns(UserWarning, match="1 of 11 shards were left out, the first of them 'shard 3'"):
        fit_sharded(encoder, failing(shards, 3), client=client, errors="skip")
    rest = [text for k, shard in enumerate(shards) if k != 3 for text in shard]
    assert_equal(encoder, copies()[name].fit(rest), texts)
    assert encoder.skipped_shards_ == ["shard 3"]
    assert encoder.n_shards_ == 10


def test_bad_texts_are_reported_with_shard_and_position(shards):
    with pytest.raises(ShardError, match="'shard 1' failed: ValueError: The text at position 2 is missing"):
        fit_sharded(TfidfEncoder(), [shards[0], ["a b", "c", None]])
    with pytest.raises(ShardError, match="No other shard could be processed"):
        fit_sharded(TfidfEncoder(), [[None], [None]], errors="skip")


def test_empty_shards_alone_are_an_error():
    with pytest.raises(ValueError, match="All shards are empty"):
        fit_sharded(TfidfEncoder(), [[], []])


@pytest.mark.parametrize("name", ENCODERS)
def test_fit_forgets_what_an_earlier_partial_fit_left(name, shards, whole, texts):
    encoder = copies()[name].partial_fit(["words that no shard has", "words that no shard has"] * 3)
    assert_equal(pickle.loads(pickle.dumps(fit_sharded(encoder, shards))), whole[name], texts)


def test_shards_that_change_between_passes_are_an_error(shards):
    calls = []

    def growing():
        calls.append(1)
        return shards[0] + ["one text more"] * len(calls)

    with pytest.raises(RuntimeError, match="must not change"):
        fit_sharded(LSAEncoder(4), [growing, shards[1]])


def test_shard_lost_in_a_later_pass_is_an_error(shards):
    calls = []

    def fading():
        calls.append(1)
        if len(calls) > 2:
            raise OSError("gone")
        return shards[0]

    with pytest.raises(ShardError, match="'shard 0' failed: OSError: gone"):
        fit_sharded(LSAEncoder(4), [fading, shards[1]], errors="skip")


@pytest.mark.parametrize(("name", "dies_at"), [("tfidf", 1), ("lsa", 3)])
def test_worker_killed_halfway_changes_nothing(name, dies_at, client, shards, whole, texts, tmp_path):
    def dying(number):
        def read():
            with open(tmp_path / f"{number}", "a") as file:
                file.write("x")
            if number == 6 and (tmp_path / "6").stat().st_size == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return shards[number]

        return read

    encoder = fit_sharded(copies()[name], [dying(k) for k in range(len(shards))], client=client)
    assert_equal(encoder, whole[name], texts)
    assert encoder.n_shards_ == len(shards)
    assert (tmp_path / "6").stat().st_size > dies_at  # the shard was read once more


def test_worker_out_of_memory_is_a_clear_error(client, shards):
    def hungry():
        held = []
        for _ in range(200):
            held.append(np.ones(1 << 21))  # 16 MB that are really used
            time.sleep(0.01)
        return shards[0]

    encoder = TfidfEncoder()
    with pytest.raises(WorkerLostError, match=r"by the shards \['shard 1'\].*out of memory"):
        fit_sharded(encoder, [shards[0], hungry], client=client)
    assert not hasattr(encoder, "n_documents_")


def test_bad_parameters_are_named_before_anything_runs(shards):
    with pytest.raises(ValueError, match=r"'errors' parameter of fit_sharded must be 'raise' or 'skip'. Got 'ignore'"):
        fit_sharded(TfidfEncoder(), shards, errors="ignore")
    with pytest.raises(ValueError, match=r"'merge_every' parameter of fit_sharded must be an int of at least 1. Got 0"):
        fit_sharded(TfidfEncoder(), shards, merge_every=0)
    with pytest.raises(ValueError, match="'min_df' parameter of TfidfEncoder"):
        fit_sharded(TfidfEncoder(min_df=-1), shards)
    with pytest.raises(ValueError, match="'ngram_range' parameter of TfidfEncoder"):
        fit_sharded(LSAEncoder(ngram_range=(2, 1)), shards)
    with pytest.raises(TypeError, match=r"client must be a distributed.Client or None. Got str"):
        fit_sharded(TfidfEncoder(), shards, client="tcp://scheduler")


@pytest.mark.parametrize("make", [TfidfEncoder, LSAEncoder])
def test_deprecated_device_is_warned_of(make):
    parameters = {} if make is TfidfEncoder else {"n_components": 2}
    with pytest.warns(FutureWarning, match=f"'device' parameter of {make.__name__} has no effect") as seen:
        fit_sharded(make(device="cuda", **parameters), [["a cat sat", "a dog sat"], ["the cat ran", "a dog ran"]])
    assert {warning.filename for warning in seen} == {__file__}
