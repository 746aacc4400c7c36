"""Thousands of broken files: each is an equal model or a ModelFileError. benchmarks/bench_fuzz.py tries 100,000."""

import importlib.util
import signal
from pathlib import Path

import numpy as np
import pytest

if not hasattr(signal, "SIGALRM"):
    pytest.skip("bounds the time with a POSIX signal", allow_module_level=True)


@pytest.fixture(scope="module")
def mutations():
    spec = importlib.util.spec_from_file_location("mutations", Path(__file__).with_name("mutations.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_longer_than(mutations):
    before = signal.signal(signal.SIGALRM, mutations.raise_timeout)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("no_longer_than")
def test_broken_files_are_refused_or_harmless(mutations, tmp_path):
    corpus, random = mutations.make_corpus(tmp_path), np.random.RandomState(0)
    counts = {"loaded": 0, "refused": 0}
    for number in range(2000):
        case = corpus[number % len(corpus)]
        content, resealed = mutations.mutate(case.content, random)
        verify = ("probe", "full", None)[random.randint(3)]
        counts[mutations.read_broken_file(tmp_path / "broken.tk", case, content, resealed, verify)] += 1
    assert min(counts.values()) > 100  # the mutations are neither all harmless nor all too coarse


@pytest.mark.usefixtures("no_longer_than")
def test_valid_files_load_as_they_are(mutations, tmp_path):
    for case in mutations.make_corpus(tmp_path):
        assert mutations.read_broken_file(tmp_path / "a.tk", case, case.content, False, "full") == "loaded"
