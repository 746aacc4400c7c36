"""AutoencoderEncoder rebuilds rows, learns from noise, and can be fine-tuned."""

import numpy as np
import pytest
import scipy.sparse as sp
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
        AutoencoderEncoder().fit(sp.csr_array(DIGITS))
    with pytest.raises(ValueError, match="n_components=8"):
        encoder.inverse_transform(DIGITS)
    with pytest.raises(ValueError, match="NaN"):
        encoder.transform(DIGITS * np.nan)
