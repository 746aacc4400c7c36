"""A search on a cluster encodes each text once a worker process."""

import os
from collections import Counter

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, rank_encoders


@pytest.fixture
def counting(texts, tmp_path):
    """An encoder that writes down which texts it encodes in which process, and a function that counts them."""

    class Counting(TransformerMixin, BaseEstimator):
        def __init__(self, encoder, folder):
            self.encoder, self.folder = encoder, folder

        def fit(self, X, y=None):
            return self

        def transform(self, X):
            with open(self.folder / f"{os.getpid()}", "a") as file:
                file.writelines(f"{hash_of(text)}\n" for text in X)
            return self.encoder.transform(X)

        def __sklearn_is_fitted__(self):
            return True

    def hash_of(text):
        return joblib.hash(text)

    def count():
        return {int(path.name): Counter(path.read_text().split()) for path in tmp_path.iterdir()}

    return Counting(LSAEncoder(8).fit(texts), tmp_path), count


@pytest.mark.parametrize("backend", ["dask", "threading"])
def test_search_encodes_each_text_once_a_process(backend, client, counting, texts):
    encoder, count = counting
    distinct = list(dict.fromkeys(texts))[:120]
    labels = np.array(["long" if len(text) > 200 else "short" for text in distinct])
    model = make_pipeline(PretrainedEncoder(encoder), LogisticHead())
    with joblib.parallel_config(backend=backend, n_jobs=2):
        search = GridSearchCV(model, {"logistichead__C": [0.1, 1.0, 10.0]}, cv=3, refit=False).fit(distinct, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    counts = count()
    if backend == "dask":
        assert os.getpid() not in counts  # all of it was done by workers
    assert 1 <= len(counts) <= 2
    assert all(set(times.values()) == {1} for times in counts.values())


def test_ranking_encodes_each_text_once(client, counting, texts):
    encoder, count = counting
    distinct = list(dict.fromkeys(texts))[:120]
    labels = np.array(["long" if len(text) > 200 else "short" for text in distinct])
    with joblib.parallel_config(backend="dask"):
        rank_encoders({"a": PretrainedEncoder(encoder), "b": PretrainedEncoder(encoder)}, distinct, labels, cv=3)
    assert all(set(times.values()) == {1} for times in count().values())
