"""encode_sharded and predict_sharded: parts that are complete or absent, and are not computed twice."""

import os
import pickle
import signal

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

import transferkit
from transferkit import LogisticHead, LSAEncoder, TfidfEncoder, TransferClassifier
from transferkit.distributed import encode_sharded, predict_sharded
from transferkit.exceptions import ShardError

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def encoder(texts):
    return LSAEncoder(8).fit(texts)


@pytest.fixture(scope="module")
def model_file(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "encoder.tk"
    transferkit.save(encoder, path)
    return path


def read_rows(paths):
    columns = [parquet.read_table(path).column("features").combine_chunks() for path in paths]
    return np.concatenate([column.flatten().to_numpy().reshape(len(column), -1) for column in columns])


def times(paths):
    return [os.stat(path).st_mtime_ns for path in paths]


@pytest.mark.parametrize("with_cluster", [False, True])
@pytest.mark.parametrize("as_file", [False, True])
def test_parts_hold_the_rows_in_order(as_file, with_cluster, encoder, model_file, shards, texts, tmp_path, request):
    client = request.getfixturevalue("client") if with_cluster else None
    model = model_file if as_file else encoder
    paths = encode_sharded(model, shards, out=tmp_path / "rows", client=client, batch_size=50)
    assert [os.path.basename(path) for path in paths] == [f"part-{number:05d}.parquet" for number in range(len(shards))]
    assert sorted(os.listdir(tmp_path / "rows")) == [os.path.basename(path) for path in paths]
    rows = read_rows(paths)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, encoder.transform(texts), atol=1e-6)


def test_sparse_rows_and_predictions(shards, texts, tmp_path):
    tfidf = TfidfEncoder().fit(texts)
    [path] = encode_sharded(tfidf, shards[:1], out=tmp_path / "sparse")
    table, expected = parquet.read_table(path), tfidf.transform(shards[0])
    assert np.concatenate(table.column("features_indices").to_pylist()).tolist() == expected.indices.tolist()
    np.testing.assert_array_equal(table.column("features_values").combine_chunks().flatten(), expected.data)
    labels = np.array(["long" if len(text) > 200 else "short" for text in texts])
    model = TransferClassifier(LSAEncoder(8).fit(texts), LogisticHead(), strategy="frozen").fit(texts, labels)
    paths = predict_sharded(model, shards, out=tmp_path / "labels")
    found = [label for path in paths for label in parquet.read_table(path).column("prediction").to_pylist()]
    assert found == model.predict(texts).tolist()
    paths = predict_sharded(model, shards[:2], out=tmp_path / "shares", method="predict_proba")
    shares = parquet.read_table(paths[1]).column("prediction").combine_chunks().flatten().to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(shares, model.predict_proba(shards[1]), atol=1e-6)


def test_complete_parts_are_skipped_and_others_are_made(model_file, encoder, shards, texts, tmp_path):
    paths = encode_sharded(model_file, shards, out=tmp_path)
    before, expected = times(paths), read_rows(paths)
    assert encode_sharded(model_file, shards, out=tmp_path) == paths
    assert times(paths) == before
    os.truncate(paths[2], os.stat(paths[2]).st_size // 2)  # as if a machine had stopped while it wrote
    os.unlink(paths[5])
    encode_sharded(model_file, shards, out=tmp_path)
    assert [k for k, (a, b) in enumerate(zip(times(paths), before, strict=True)) if a != b] == [2, 5]
    np.testing.assert_array_equal(read_rows(paths), expected)
    changed = [*shards[:4], shards[4][::-1], *shards[5:]]
    encode_sharded(model_file, changed, out=tmp_path)
    assert [k for k, (a, b) in enumerate(zip(times(paths), before, strict=True)) if a != b] == [2, 4, 5]
    other = encode_sharded(LSAEncoder(8, n_iter=1).fit(texts), changed, out=tmp_path)
    assert all(a != b for a, b in zip(times(other), before, strict=True))


def test_shard_that_is_done_is_not_read_again(model_file, shards, tmp_path):
    for number, texts in enumerate(shards[:2]):
        (tmp_path / f"{number}.jsonl").write_text("".join(f'{{"text": "{len(text)} letters"}}\n' for text in texts))
    paths = encode_sharded(model_file, f"{tmp_path}/*.jsonl", out=tmp_path / "rows")
    status = os.stat(tmp_path / "0.jsonl")
    (tmp_path / "0.jsonl").write_bytes(b"\0" * status.st_size)  # unreadable, but of the same size and time
    os.utime(tmp_path / "0.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert encode_sharded(model_file, f"{tmp_path}/*.jsonl", out=tmp_path / "rows") == paths
    os.utime(tmp_path / "0.jsonl")
    with pytest.raises(ShardError, match=r"0\.jsonl"):
        encode_sharded(model_file, f"{tmp_path}/*.jsonl", out=tmp_path / "rows")


def test_killed_worker_leaves_no_half_of_a_part(client, encoder, shards, tmp_path):
    class Dying(TransformerMixin, BaseEstimator):
        def __init__(self, encoder, folder):
            self.encoder, self.folder = encoder, folder

        def transform(self, X):
            mark = self.folder / "died"
            if X[0] == "last batch" and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return self.encoder.transform(X)

        def __sklearn_is_fitted__(self):
            return True

    shards = [*shards[:3], [*shards[3], "last batch"]]
    paths = encode_sharded(Dying(encoder, tmp_path), shards, out=tmp_path / "rows", client=client, batch_size=64)
    assert (tmp_path / "died").exists()
    parts = sorted(name for name in os.listdir(tmp_path / "rows") if name.startswith("part-"))
    assert parts == [os.path.basename(path) for path in paths]
    assert len(read_rows(paths)) == sum(map(len, shards))


def test_bad_shards_are_named_or_left_out(encoder, shards, tmp_path):
    bad = [shards[0], ["a", None], shards[1], []]
    with pytest.raises(ShardError, match=r"'shard 1' failed: .*position 1 is missing"):
        encode_sharded(encoder, bad, out=tmp_path)
    assert not any(name.endswith(".tmp") for name in os.listdir(tmp_path))
    with pytest.warns(UserWarning, match="1 of 4 shards were left out, the first of them 'shard 1'"):
        paths = encode_sharded(encoder, bad, out=tmp_path, errors="skip")
    assert [os.path.basename(path) for path in paths] == ["part-00000.parquet", "part-00002.parquet"]


def test_folder_of_another_run_is_refused(encoder, shards, tmp_path):
    encode_sharded(encoder, shards[:3], out=tmp_path)
    with pytest.raises(ValueError, match=r"holds 'part-00002.parquet', which this run of 2 shards would not write"):
        encode_sharded(encoder, shards[:2], out=tmp_path)
    with pytest.raises(TypeError, match="no method 'predict'"):
        predict_sharded(encoder, shards, out=tmp_path)
    with pytest.raises(ValueError, match=r"one of predict, predict_proba, decision_function. Got 'transform'"):
        predict_sharded(encoder, shards, out=tmp_path, method="transform")


def test_parts_behind_a_url(encoder, shards):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    paths = encode_sharded(encoder, shards[:2], out="memory://rows/here")
    assert paths == ["memory://rows/here/part-00000.parquet", "memory://rows/here/part-00001.parquet"]
    made = memory.info("/rows/here/part-00000.parquet")["created"]
    assert encode_sharded(encoder, shards[:2], out="memory://rows/here") == paths
    assert memory.info("/rows/here/part-00000.parquet")["created"] == made
    assert len(memory.ls("/rows/here")) == 2


def test_file_is_loaded_once_per_process(client, model_file, shards, tmp_path):
    def watch_loads():
        from transferkit.persistence import _model_file

        _model_file._loaded.clear()
        _model_file.loads, load = [], getattr(_model_file, "plain_load", _model_file.load)
        _model_file.plain_load, _model_file.load = (
            load,
            lambda *args, **options: _model_file.loads.append(args) or load(*args, **options),
        )

    def count_loads():
        from transferkit.persistence import _model_file

        [model] = _model_file._loaded.values()
        return len(_model_file.loads), model._projection.flags.owndata

    client.run(watch_loads)
    encode_sharded(model_file, shards, out=tmp_path, client=client)
    assert set(client.run(count_loads).values()) == {(1, False)}  # once, and mapped


def test_model_goes_to_worker_processes_of_joblib(encoder, shards, tmp_path):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        paths = encode_sharded(pickle.loads(pickle.dumps(encoder)), shards, out=tmp_path)
    assert len(read_rows(paths)) == 700
