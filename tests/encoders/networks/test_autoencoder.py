"""AutoencoderEncoder reconstructs samples, is trained with noise, and can be fine-tuned."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from transferkit import AutoencoderEncoder, TransferClassifier, load, save

DIGITS = (load_digits().data[:700] / 16).astype(np.float32)
LABELS = load_digits().target[:700]


def measure_error(encoder, X=DIGITS):
    return float(np.square(encoder.inverse_transform(encoder.transform(X)) - X).mean())


@pytest.fixture(scope="module")
def encoder():
    return AutoencoderEncoder((64,), 8, max_iter=150, batch_size=32, noise=None).fit(DIGITS)


def test_linear_autoencoder_comes_close_to_principal_components():
    linear = AutoencoderEncoder((), 8, noise=None, max_iter=150, learning_rate_init=1e-2).fit(DIGITS)
    pca = PCA(8).fit(DIGITS)
    assert measure_error(linear) < 1.05 * np.square(pca.inverse_transform(pca.transform(DIGITS)) - DIGITS).mean()


def test_hidden_layers_rebuild_better_than_principal_components(encoder):
    pca = PCA(8).fit(DIGITS)
    assert measure_error(encoder) < np.square(pca.inverse_transform(pca.transform(DIGITS)) - DIGITS).mean()
    assert encoder.loss_curve_[-1] < 0.5 * encoder.loss_curve_[0]
    assert encoder.n_iter_ == len(encoder.loss_curve_) == 150
    assert [coef.shape for coef in encoder.coefs_] == [(64, 64), (64, 8)]
    assert [coef.shape for coef in encoder.decoder_coefs_] == [(8, 64), (64, 64)]


@pytest.mark.parametrize("noise", ["gaussian", "masking"])
def test_noise_makes_codes_that_noise_disturbs_less(noise):
    parameters = {"hidden_layer_sizes": (64,), "n_components": 32, "max_iter": 100, "batch_size": 32}
    rng = np.random.default_rng(0)
    if noise == "gaussian":
        spoiled = DIGITS + 0.7 * np.sqrt(DIGITS.var(axis=0).mean()) * rng.normal(size=DIGITS.shape).astype(np.float32)
    else:
        spoiled = DIGITS * (rng.uniform(size=DIGITS.shape) > 0.3) / 0.7
    errors = {}
    for name in (noise, None):
        trained = AutoencoderEncoder(**parameters, noise=name, noise_level=0.7 if noise == "gaussian" else 0.3)
        trained.fit(DIGITS)
        errors[name] = np.square(trained.inverse_transform(trained.transform(spoiled)) - DIGITS).mean()
    assert errors[noise] < 0.9 * errors[None]


def test_rows_given_to_fit_are_left_as_they_are():
    X = DIGITS.copy()
    AutoencoderEncoder((16,), 4, max_iter=2, noise_level=0.5).fit(X)
    np.testing.assert_array_equal(X, DIGITS)


def test_same_seed_same_encoder_and_second_fit_forgets_the_first():
    first = AutoencoderEncoder((16,), 4, max_iter=2).fit(DIGITS)
    second = AutoencoderEncoder((16,), 4, max_iter=2).fit(DIGITS[:, :30]).fit(DIGITS)
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])
    other = AutoencoderEncoder((16,), 4, max_iter=2, random_state=1).fit(DIGITS)
    assert (other.coefs_[0] != first.coefs_[0]).any()


@pytest.mark.parametrize(
    "parameters",
    [{"loss": "huber"}, {"solver": "sgd"}, {"alpha": 0.1}, {"batch_size": 32}, {"activation": "tanh"}],
)
def test_each_parameter_changes_what_is_learned(parameters):
    plain = AutoencoderEncoder((16,), 4, max_iter=2).fit(DIGITS)
    other = AutoencoderEncoder((16,), 4, max_iter=2, **parameters).fit(DIGITS)
    assert np.abs(other.transform(DIGITS) - plain.transform(DIGITS)).max() > 1e-3


def test_saved_and_loaded_encodes_the_same_without_torch(encoder, tmp_path, run_without_torch):
    save(encoder, tmp_path / "code.tk")
    np.testing.assert_array_equal(load(tmp_path / "code.tk").transform(DIGITS), encoder.transform(DIGITS))
    code = "import sys, transferkit; print(transferkit.load(sys.argv[1]).transform([[0.5] * 64]).shape)"
    assert run_without_torch(code, tmp_path / "code.tk").strip() == "(1, 8)"


@pytest.mark.parametrize("strategy", ["frozen", "finetune"])
def test_it_transfers(encoder, strategy):
    before = [coef.copy() for coef in encoder.coefs_]
    rows = np.concatenate([np.flatnonzero(digit == LABELS)[:10] for digit in range(10)])
    model = TransferClassifier(encoder, strategy=strategy).fit(DIGITS[rows], LABELS[rows])
    assert model.score(DIGITS, LABELS) > 0.7
    for coef, first in zip(encoder.coefs_, before, strict=True):
        np.testing.assert_array_equal(coef, first)


def run_torch(encoder, X):
    """Return codes and reconstructed samples by torch's own layers, with the encoder's weights."""
    relu, x = torch.relu, torch.from_numpy(X)
    coefs = [torch.tensor(coef) for coef in encoder.coefs_]
    decoder = [c.T for c in coefs[::-1]] if encoder.tied_weights else [torch.tensor(c) for c in encoder.decoder_coefs_]
    halves = [(coefs, encoder.intercepts_), (decoder, encoder.decoder_intercepts_)]
    n_convolutions = 0 if encoder.image_shape is None else len(encoder.conv_channels)
    shapes, found = [(8, 8, 1)], []
    for coef in coefs[:n_convolutions]:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2), coef.shape[1]))
    for decodes, (weights, intercepts) in enumerate(halves):
        for number, (coef, intercept) in enumerate(zip(weights, map(torch.tensor, intercepts), strict=True)):
            at = len(weights) - number if decodes else number
            if at <= n_convolutions - (not decodes):
                images = x.reshape(len(x), *shapes[at]).permute(0, 3, 1, 2)
                if decodes:
                    images = torch.nn.functional.interpolate(images, scale_factor=2)
                    images = images[:, :, : shapes[at - 1][0], : shapes[at - 1][1]]
                kernel = coef.T.reshape(coef.shape[1], -1, 3, 3)
                images = torch.conv2d(images, kernel, intercept, 1 if decodes else 2, 1)
                x = images.permute(0, 2, 3, 1).reshape(len(x), -1)
            else:
                x = x @ coef + intercept
            x = relu(x) if number + 1 < len(weights) else x
        found.append(x.numpy())
    return found


@pytest.mark.parametrize(
    "parameters",
    [{}, {"tied_weights": True}, {"image_shape": (8, 8)}, {"image_shape": (8, 8, 1), "conv_channels": (4, 6, 8, 9)}],
)
def test_numpy_says_what_torch_says_for_every_kind(parameters, tmp_path):
    encoder = AutoencoderEncoder((24,), 6, max_iter=4, batch_size=64, **parameters).fit(DIGITS)
    codes, rebuilt = run_torch(encoder, DIGITS)
    np.testing.assert_allclose(encoder.transform(DIGITS), codes, atol=1e-5)
    np.testing.assert_allclose(encoder.inverse_transform(codes), rebuilt, atol=1e-5)
    save(encoder, tmp_path / "encoder.tk")
    loaded = load(tmp_path / "encoder.tk")
    np.testing.assert_array_equal(
        loaded.inverse_transform(loaded.transform(DIGITS)), encoder.inverse_transform(encoder.transform(DIGITS))
    )
    model = TransferClassifier(encoder, strategy="finetune", cv=2).fit(DIGITS[:100], LABELS[:100])
    assert np.abs(model.encoder_.coefs_[0] - encoder.coefs_[0]).max() > 1e-4
    np.testing.assert_allclose(model.encoder_.transform(DIGITS), run_torch(model.encoder_, DIGITS)[0], atol=1e-4)


@pytest.mark.parametrize("tied_weights", [False, True])
def test_sparse_rows_are_learned_from_like_dense_ones(tied_weights):
    parameters = {"noise": None, "max_iter": 5, "batch_size": 64, "tied_weights": tied_weights}
    dense = AutoencoderEncoder((24,), 6, **parameters).fit(DIGITS)
    sparse = AutoencoderEncoder((24,), 6, **parameters).fit(sp.csr_matrix(DIGITS))
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=2e-2)
    np.testing.assert_allclose(sparse.transform(sp.csr_array(DIGITS)), sparse.transform(DIGITS), atol=1e-5)
    noisy = AutoencoderEncoder((24,), 6, max_iter=5, tied_weights=tied_weights).fit(sp.csr_matrix(DIGITS))
    assert noisy.loss_curve_[-1] < 0.7 * noisy.loss_curve_[0]


def test_sparse_rows_never_become_dense_as_a_whole():
    rng, n_rows, n_columns = np.random.default_rng(0), 4000, 20_000  # 320 MB when dense
    indices, values = rng.integers(n_columns, size=10 * n_rows), rng.uniform(size=10 * n_rows).astype(np.float32)
    wide = sp.csr_matrix((values, indices, np.arange(0, 10 * n_rows + 1, 10)), shape=(n_rows, n_columns))
    tracemalloc.start()
    AutoencoderEncoder((2,), 2, max_iter=1, batch_size=512).fit(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_tied_weights_are_half_as_many():
    tied = AutoencoderEncoder((24,), 6, max_iter=80, batch_size=32, noise=None, tied_weights=True).fit(DIGITS)
    assert tied.decoder_coefs_ is None
    assert [len(intercept) for intercept in tied.decoder_intercepts_] == [24, 64]
    assert measure_error(tied) < 0.5 * DIGITS.var(axis=0).mean()


def test_convolutions_rebuild_images():
    encoder = AutoencoderEncoder((), 8, image_shape=(8, 8), max_iter=15, batch_size=32, noise=None).fit(DIGITS)
    assert [coef.shape for coef in encoder.coefs_] == [(9, 16), (144, 32), (128, 8)]
    assert [coef.shape for coef in encoder.decoder_coefs_] == [(8, 128), (288, 16), (144, 1)]
    assert measure_error(encoder) < 0.5 * DIGITS.var(axis=0).mean()


def test_progress_is_reported(capsys):
    AutoencoderEncoder((8,), 2, max_iter=3).set_callbacks(ProgressBar()).fit(DIGITS)
    assert "AutoencoderEncoder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"hidden_layer_sizes": (0,)},
            "'hidden_layer_sizes' parameter of AutoencoderEncoder must be a tuple of positive",
        ),
        ({"conv_channels": (4, 0)}, "'conv_channels' parameter of AutoencoderEncoder must be a tuple of positive"),
        ({"image_shape": (8,)}, "'image_shape' parameter of AutoencoderEncoder must be a tuple of 2 or 3 positive"),
        ({"image_shape": (8, 8), "tied_weights": True}, "tied_weights=True needs linear layers"),
        ({"n_components": 0}, "'n_components' parameter of AutoencoderEncoder"),
        ({"noise": "salt"}, "'noise' parameter of AutoencoderEncoder must be a str among"),
        ({"noise_level": 1.0}, "noise='masking' needs a noise_level below 1"),
        ({"loss": "hinge"}, "'loss' parameter of AutoencoderEncoder"),
    ],
)
def test_wrong_parameters_are_named_and_leave_the_encoder_as_it_was(parameters, words):
    fitted = AutoencoderEncoder((8,), 2, max_iter=1).fit(DIGITS)
    coefs = fitted.coefs_
    with pytest.raises(ValueError, match=words):
        fitted.set_params(**parameters).fit(DIGITS)
    assert fitted.coefs_ is coefs


def test_wrong_input_is_named(encoder):
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        AutoencoderEncoder(image_shape=(8, 8)).fit(sp.csr_array(DIGITS))
    with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) means 72 values per sample, but the samples have 64"):
        AutoencoderEncoder(image_shape=(8, 9)).fit(DIGITS)
    with pytest.raises(ValueError, match="n_components=8"):
        encoder.inverse_transform(DIGITS)
    with pytest.raises(ValueError, match="NaN"):
        encoder.transform(DIGITS * np.nan)


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda X: X + 1e4, "Features lie more than 5 standard deviations away from zero"),
        (lambda X: X + 1e8, "Features lie more than 5 standard deviations away from zero"),
        (lambda X: X * [1e4, 1, 1, 1], "One feature holds more than 99% of all variance"),
        (lambda X: sp.csr_matrix(X * [1e4, 1, 1, 1]), "One feature holds more than 99% of all variance"),
    ],
)
def test_rows_that_it_cannot_learn_from_as_they_are_are_warned_of(move, message):
    X = np.random.default_rng(0).normal(size=(50, 4))
    with pytest.warns(UserWarning, match=message):
        AutoencoderEncoder((4,), 2, max_iter=1).fit(move(X))


@pytest.mark.parametrize(
    "X", [np.ones((20, 3)), sp.csr_array(np.full((20, 3), 0.1)), np.zeros((20, 3)), np.arange(20.0)[:, None]]
)
def test_rows_all_alike_and_single_features_are_learned_without_a_warning(X):
    encoder = AutoencoderEncoder((4,), 2, max_iter=1).fit(X)
    assert np.isfinite(encoder.transform(X)).all()
