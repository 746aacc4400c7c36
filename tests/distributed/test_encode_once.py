"""A search on a cluster encodes each text once per worker process."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, rank_encoders

N_TEXTS = 120


@pytest.fixture(scope="module")
def task(texts):
    distinct = list(dict.fromkeys(texts))[:N_TEXTS]
    return distinct, np.array(["long" if len(text) > 200 else "short" for text in distinct])


@pytest.fixture
def encoded(client):
    """A function that returns which texts each process, of the cluster or this one, has encoded since."""

    def watch():
        from transferkit import LSAEncoder
        from transferkit.encoders import _embedding_cache

        _embedding_cache.clear_embeddings()
        plain = getattr(LSAEncoder, "plain_transform", LSAEncoder.transform)

        def transform(self, X):
            LSAEncoder.encoded.extend(X)
            return plain(self, X)

        LSAEncoder.plain_transform, LSAEncoder.transform, LSAEncoder.encoded = plain, transform, []

    def collect():
        from transferkit import LSAEncoder

        return LSAEncoder.encoded

    def unwatch():
        from transferkit import LSAEncoder

        LSAEncoder.transform = LSAEncoder.plain_transform
        del LSAEncoder.plain_transform, LSAEncoder.encoded

    client.run(watch)
    watch()
    yield lambda: {**client.run(collect), "here": collect()}
    client.run(unwatch)
    unwatch()


@pytest.mark.parametrize("backend", ["dask", "threading"])
def test_search_encodes_each_text_once_per_process(backend, texts, task, encoded):
    model = make_pipeline(PretrainedEncoder(LSAEncoder(8).fit(texts)), LogisticHead())
    with joblib.parallel_config(backend=backend, n_jobs=2):
        search = GridSearchCV(model, {"logistichead__C": [0.1, 1.0, 10.0]}, cv=3, refit=False).fit(*task)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    found = encoded()
    assert all(len(set(rows)) == len(rows) for rows in found.values())
    assert len(found["here"]) == (0 if backend == "dask" else N_TEXTS)
    assert N_TEXTS <= sum(map(len, found.values())) <= 2 * N_TEXTS


def test_ranking_encodes_each_text_once(texts, task, encoded):
    encoder = LSAEncoder(8).fit(texts)
    with joblib.parallel_config(backend="dask"):
        rank_encoders({"a": encoder, "b": PretrainedEncoder(encoder)}, *task, metric="cv", cv=3)
    found = encoded()
    assert all(len(set(rows)) == len(rows) for rows in found.values())
    assert sum(map(len, found.values())) == N_TEXTS
