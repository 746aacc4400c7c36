"""Any transformer of scikit-learn is an encoder: frozen, in transfer and in model files, without a wrapper."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF, PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from transferkit import (
    KMeansEncoder,
    LogisticHead,
    PretrainedEncoder,
    TransferClassifier,
    TransferRegressor,
    load,
    save,
)
from transferkit.exceptions import ModelFileError

X, Y = load_digits(return_X_y=True)
X = X / 16
UNLABELLED, FEW = X[600:1200], np.arange(120)
ENCODERS = {
    "PCA": PCA(16, random_state=0),
    "IncrementalPCA": IncrementalPCA(16),
    "NMF": NMF(12, max_iter=400, tol=1e-3, random_state=0, init="nndsvda"),
    "FastICA": FastICA(12, random_state=0, max_iter=500, tol=1e-2, whiten="unit-variance"),
    "TruncatedSVD": TruncatedSVD(16, random_state=0),
    "Pipeline": make_pipeline(StandardScaler(), PCA(16, random_state=0)),
    "FeatureUnion": make_union(PCA(8, random_state=0), KMeansEncoder(8)),
}


@pytest.fixture(params=ENCODERS, scope="module")
def encoder(request):
    return clone(ENCODERS[request.param]).fit(UNLABELLED)


def test_fitted_it_is_frozen(encoder, tmp_path):
    before = encoder.transform(X[:5])
    frozen = PretrainedEncoder(encoder)
    np.testing.assert_allclose(frozen.transform(X[FEW]), encoder.transform(X[FEW]), atol=1e-6)
    model = TransferClassifier(encoder, strategy="frozen").fit(X[FEW], Y[FEW])
    assert model.score(X[1200:], Y[1200:]) > 0.7
    assert clone(model).encoder is encoder
    np.testing.assert_array_equal(encoder.transform(X[:5]), before)
    save(model, tmp_path / "model.tk")
    loaded = load(tmp_path / "model.tk")
    np.testing.assert_allclose(loaded.predict_proba(X[:50]), model.predict_proba(X[:50]), atol=1e-6)
    save(encoder, tmp_path / "encoder.tk")
    by_file = TransferClassifier(str(tmp_path / "encoder.tk"), strategy="frozen").fit(X[FEW], Y[FEW])
    np.testing.assert_allclose(by_file.predict_proba(X[:50]), model.predict_proba(X[:50]), atol=1e-5)


def test_search_keeps_what_was_pretrained():
    encoder = PCA(16, random_state=0).fit(UNLABELLED)
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen")
    search = GridSearchCV(model, {"head__C": [0.1, 10.0]}, cv=2).fit(X[FEW], Y[FEW])
    assert search.best_estimator_.encoder is encoder
    with pytest.raises(ValueError, match="the encoder is pretrained"):
        model.set_params(encoder__n_components=4)


def test_unfitted_it_is_fitted_within_each_fold():
    model = TransferClassifier(PCA(random_state=0), LogisticHead(), strategy="frozen")
    search = GridSearchCV(model, {"encoder__n_components": [2, 16]}, cv=2).fit(X[FEW], Y[FEW])
    assert search.best_params_ == {"encoder__n_components": 16}
    with pytest.raises(NotFittedError, match="unfitted PCA"):
        PretrainedEncoder(PCA()).transform(X)


def test_auto_compares_it_with_no_transfer_and_regressors_take_it():
    encoder = PCA(24, random_state=0).fit(UNLABELLED)
    model = TransferClassifier(encoder, cv=3).fit(X[FEW], Y[FEW])
    assert set(model.strategy_scores_["strategy"]) == {"frozen", "scratch"}
    regressor = TransferRegressor(encoder, Ridge(), strategy="frozen").fit(X[FEW], Y[FEW].astype(float))
    assert regressor.predict(X[:3]).shape == (3,)


def test_one_that_uses_labels_is_an_encoder_too():
    encoder = LinearDiscriminantAnalysis(n_components=4).fit(
        X[600:900] + 1e-3 * np.random.RandomState(0).rand(300, 64), Y[600:900]
    )
    assert TransferClassifier(encoder, strategy="frozen").fit(X[FEW], Y[FEW]).score(X[1200:], Y[1200:]) > 0.5


def test_vectorizers_of_scikit_learn_encode_texts():
    texts = ["the cat sat", "a dog ran", "stock rose", "bond fell"] * 5
    encoder = make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0)).fit(texts)
    model = TransferClassifier(encoder, strategy="frozen", cv=2).fit(texts, ["pet", "pet", "money", "money"] * 5)
    assert model.predict(["the dog"]) == ["pet"]


def test_one_whose_state_is_not_plain_is_refused_by_name(tmp_path):
    from sklearn.ensemble import RandomTreesEmbedding

    encoder = RandomTreesEmbedding(3, max_depth=2, random_state=0).fit(UNLABELLED)
    model = TransferClassifier(encoder, strategy="frozen").fit(X[FEW], Y[FEW])
    with pytest.raises(ModelFileError, match=r"RandomTreesEmbedding.*joblib"):
        save(model, tmp_path / "model.tk")
