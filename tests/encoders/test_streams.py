"""Encoders fitted in batches compute their results once, on first use, even if several threads request them."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from transferkit import LSAEncoder, TfidfEncoder, WordVectorEncoder

TEXTS = ["the cat sat on the mat", "the dog sat on the cat", "a mat and a dog and a cat"]


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


@pytest.mark.parametrize(
    ("encoder", "finish"),
    [
        (TfidfEncoder(), "_choose_terms"),
        (WordVectorEncoder(4, min_count=1), "_learn"),
        (LSAEncoder(2, min_df=1), "_decompose"),
    ],
    ids=["TfidfEncoder", "WordVectorEncoder", "LSAEncoder"],
)
def test_stream_is_finished_once_by_many_threads(encoder, finish, monkeypatch):
    original, calls = getattr(type(encoder), finish), []

    def finish_slowly(self, *args, **kwargs):
        calls.append(self)
        time.sleep(0.05)  # so that every thread asks before the first has its answer
        return original(self, *args, **kwargs)

    expected = dense(clone(encoder).fit(TEXTS).transform(TEXTS))
    stream = clone(encoder).partial_fit(TEXTS[:1]).partial_fit(TEXTS[1:])
    monkeypatch.setattr(type(encoder), finish, finish_slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: dense(stream.transform(TEXTS)), range(4)))
    assert calls == [stream]
    for rows in found:
        np.testing.assert_array_equal(rows, expected)
