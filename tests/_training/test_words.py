"""GloVe and skip-gram with negative sampling: against plain float64 loops over pairs."""

import numpy as np
import pytest
import torch
from scipy import sparse

from transferkit._algorithms.linalg.decompositions import leading_eigenvectors
from transferkit._training import words
from transferkit._training.words import (
    GloVe,
    Side,
    SkipGram,
    WordPairs,
    leading_eigenvectors_on_device,
    train_word_vectors,
)

N_WORDS, N_COMPONENTS = 30, 4
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="module")
def counts():
    half = sparse.random_array((N_WORDS, N_WORDS), density=0.2, rng=np.random.default_rng(0)).tocsr()
    half.data = np.ceil(20 * half.data)
    return sparse.csr_array((half + half.T).astype(np.int64))


@pytest.fixture
def cut_into_slices(monkeypatch):
    monkeypatch.setattr(words, "_ENTRIES", {"cpu": 50, "cuda": 50})
    monkeypatch.setattr(words, "_LONGEST", 3)


def make_sides(device):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in [(N_WORDS, N_COMPONENTS), (N_WORDS,)] * 2]
    words, a, contexts, b = (torch.from_numpy(array).to(device) for array in arrays)
    return Side.starting_at(words, a), Side.starting_at(contexts, b), [array.astype(np.float64) for array in arrays]


def gradient_of_all(objective, rows, others, pairs):
    parts = [objective.gradient(rows, others, part) for part in pairs.slices]
    vectors, biases, losses = zip(*parts, strict=True)
    biases = None if biases[0] is None else torch.cat(biases).cpu().numpy()
    return torch.cat(vectors).cpu().numpy(), biases, float(sum(losses))


def glove_plainly(x, words, a, contexts, b, x_max, zero_weight):
    total = zero_weight * ((words @ contexts.T) ** 2).sum()
    for i, j in zip(*np.nonzero(x), strict=True):
        weight = min(1, x[i, j] / x_max) ** 0.75
        total += weight * (words[i] @ contexts[j] + a[i] + b[j] - np.log(x[i, j])) ** 2
    return total


def skip_gram_plainly(x, words, contexts, n_negative, smoothing):
    totals = x.sum(axis=1)
    noise = totals**smoothing / (totals**smoothing).sum()
    products = words @ contexts.T
    return (x * np.log1p(np.exp(-products))).sum() + n_negative * totals @ np.log1p(np.exp(products)) @ noise


def differentiate(function, point, step=1e-5):
    gradient = np.zeros_like(point)
    for place in np.ndindex(point.shape):
        middle = point[place]
        point[place] = middle + step
        above = function()
        point[place] = middle - step
        gradient[place] = (above - function()) / (2 * step)
        point[place] = middle
    return gradient


@pytest.mark.usefixtures("cut_into_slices")
def test_glove_has_the_objective_and_gradients_of_its_formula(counts, device):
    rows, others, arrays = make_sides(device)
    pairs = WordPairs(counts, device, unit=5)
    assert len(pairs.slices) > 3
    objective = GloVe(pairs.totals, x_max=2)
    vectors, biases, loss = gradient_of_all(objective, rows, others, pairs)
    plain = lambda: glove_plainly(counts.toarray() / 5, *arrays, 2, 0.1)  # noqa: E731
    assert loss == pytest.approx(plain(), rel=1e-5)
    np.testing.assert_allclose(2 * vectors, differentiate(plain, arrays[0]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(2 * biases, differentiate(plain, arrays[1]), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("cut_into_slices")
def test_biases_of_glove_begin_at_chance(counts):
    totals = WordPairs(counts, torch.device("cpu")).totals
    biases, totals = GloVe(totals, x_max=10).biases.numpy(), counts.sum(axis=1)
    chance = np.log(np.outer(totals, totals) / totals.sum())
    known = totals > 0
    np.testing.assert_allclose((biases[:, None] + biases)[known][:, known], chance[known][:, known], rtol=1e-5)


@pytest.mark.usefixtures("cut_into_slices")
def test_skip_gram_has_the_expected_objective_and_gradients(counts, device):
    rows, others, (words, _, contexts, _) = make_sides(device)
    pairs = WordPairs(counts, device)
    objective = SkipGram(pairs.totals, 2, 0.75, torch.Generator(device).manual_seed(0))
    draws = [gradient_of_all(objective, rows, others, pairs) for _ in range(200)]
    plain = lambda: skip_gram_plainly(counts.toarray().astype(float), words, contexts, 2, 0.75)  # noqa: E731
    losses = [loss for *_, loss in draws]
    assert np.mean(losses) == pytest.approx(plain(), rel=2e-3)
    mean = np.mean([vectors for vectors, *_ in draws], axis=0)
    expected = differentiate(plain, words)
    assert np.abs(mean - expected).max() < 0.01 * np.abs(expected).max()


def test_negative_samples_follow_the_smoothed_shares(counts, device):
    pairs = WordPairs(counts, device)
    objective = SkipGram(pairs.totals, 1, 0.75, torch.Generator(device).manual_seed(0))
    drawn = torch.cat([objective.draw() for _ in range(300)]).cpu().numpy()
    shares = counts.sum(axis=1) ** 0.75 / (counts.sum(axis=1) ** 0.75).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=N_WORDS) / len(drawn), shares, atol=2e-3)


def train(counts, name, device="cpu", **changes):
    start = np.random.default_rng(0).normal(size=(N_WORDS, N_COMPONENTS)).astype(np.float32) / 3
    make = {"glove": lambda t, g: GloVe(t, 10), "sgns": lambda t, g: SkipGram(t, 1, 0.75, g)}[name]
    settings = {"unit": 1, "max_iter": 60, "learning_rate": 0.05, "seed": 3, "on_epoch": lambda read: False}
    signs = np.array([1, -1, 1, 1], np.float32)
    return train_word_vectors(counts, start, signs, make, device=str(device), **(settings | changes))


@pytest.mark.parametrize("name", ["glove", "sgns"])
@pytest.mark.usefixtures("cut_into_slices")
def test_training_lowers_the_objective_the_same_way_each_time(counts, device, name):
    vectors, losses = train(counts, name, device)
    assert len(losses) == 60
    assert losses[-1] < 0.9 * losses[0]
    again, _ = train(counts, name, device)
    np.testing.assert_array_equal(vectors, again)
    other, _ = train(counts, name, device, seed=4)
    assert np.array_equal(vectors, other) == (name == "glove")  # which draws nothing


def test_slices_do_not_change_glove(counts, monkeypatch):
    whole, _ = train(counts, "glove")
    monkeypatch.setattr(words, "_ENTRIES", {"cpu": 20})
    monkeypatch.setattr(words, "_LONGEST", 2)
    np.testing.assert_allclose(train(counts, "glove")[0], whole, rtol=1e-4, atol=1e-5)


def test_stop_requests_end_training(counts):
    seen = []
    _, losses = train(counts, "sgns", on_epoch=lambda read: seen.append(read()) or len(seen) == 2)
    assert len(losses) == len(seen) == 2
    assert not np.array_equal(*seen)


def test_eigenvectors_are_those_of_numpy(device):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(1500, 60)) * np.linspace(3, 0.5, 60)
    dense = factor @ np.diag(np.where(np.arange(60) % 5, 1, -1)) @ factor.T
    dense[np.abs(dense) < 2 * dense.std()] = 0
    matrix = sparse.csr_array(((dense + dense.T) / 2).astype(np.float32))
    vectors, values = leading_eigenvectors_on_device(matrix, 20, np.random.RandomState(0), device)
    expected_vectors, expected = leading_eigenvectors(matrix, 20, np.random.RandomState(0))
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(np.abs((vectors * expected_vectors).sum(axis=0)), 1, atol=1e-3)
