"""FeatureBlocks give the model of the stacked matrix without stacking."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from transferkit import FeatureBlocks, LogisticHead, LogisticHeadCV, RidgeHead

# few rows; more rows than features; more rows than are decomposed; wide and long; wide blocks, both sparse
SHAPES = {"few": (150, 400, 10), "tall": (900, 100, 20), "large": (560, 500, 10), "wide": (1250, 1500, 10)}


@pytest.fixture(autouse=True)
def small_decompositions(monkeypatch):
    """Set limits so that only the large problem is too large to be decomposed."""
    for name, value in {"MAX_DECOMPOSED": 400, "MAX_SPARSE_DECOMPOSED": 400, "MOST_COLUMNS_PER_ROW": 1}.items():
        monkeypatch.setattr(f"transferkit._training.linear.problem.{name}", value)


def make_problem(name, n_classes=3, dtype=np.float64):
    n_rows, n_words, n_dimensions = SHAPES[name]
    rng = np.random.default_rng(0)
    words = sp.random_array((n_rows, n_words), density=0.02, rng=rng, dtype=np.float64).tocsr()
    vectors = rng.normal(size=(n_rows, n_dimensions)) * np.logspace(-1, 1, n_dimensions) + 2
    scores = 2 * words @ rng.normal(size=(n_words, n_classes)) + 0.2 * vectors @ rng.normal(
        size=(n_dimensions, n_classes)
    )
    y = (scores + rng.gumbel(size=scores.shape)).argmax(1)
    return FeatureBlocks(words.astype(dtype), vectors.astype(dtype)), y


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("scales", [None, (1.0, 0.3), (2.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_agrees_with_logistic_regression_on_the_stacked_matrix(name, scales):
    X, y = make_problem(name)
    head = LogisticHead(C=2.0, tol=1e-8, block_scales=scales).fit(X, y)
    factors = np.repeat(scales or (1, 1), [block.shape[1] for block in X.blocks])
    stacked = X.scale(scales or (1, 1)).to_sparse()
    reference = LogisticRegression(C=2.0, tol=1e-8, max_iter=20_000).fit(stacked, y)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(stacked), atol=2e-3)
    reference.coef_ *= factors
    with np.errstate(invalid="ignore"):
        kept = np.where(factors == 0, 1, factors)
    ours, theirs = (
        -2 * model.predict_log_proba(X.to_sparse())[np.arange(len(y)), y].sum() + ((model.coef_ / kept) ** 2).sum() / 2
        for model in (head, reference)
    )
    assert ours <= theirs * (1 + 1e-6)
    assert not head.coef_[:, factors == 0].any()
    assert head.coef_.T.flags.c_contiguous


@pytest.mark.parametrize("name", SHAPES)
def test_two_classes_float32_sample_weights_and_a_start(name):
    X, y = make_problem(name, n_classes=2, dtype=np.float32)
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    head = LogisticHead(tol=1e-6, warm_start=True).fit(X, y, sample_weight=weights)
    reference = LogisticHead(tol=1e-6).fit(X.to_sparse(), y, sample_weight=weights)
    assert head.coef_.dtype == np.float32
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=5e-3)
    cold = head.n_iter_[0]
    assert head.fit(X, y, sample_weight=weights).n_iter_[0] <= cold // 4


@pytest.mark.parametrize("scales", [(1.0, 0.5), (0.0, 1.0)])
def test_prior_is_that_of_the_features_as_they_are(scales):
    X, y = make_problem("tall")
    source = LogisticHead(C=0.1).fit(X, (y + 1) % 3)
    head = LogisticHead(C=1e-7, prior=source, block_scales=scales, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(head.coef_, source.coef_, atol=1e-3)
    strong = LogisticHead(C=0.01, prior=source, block_scales=scales, tol=1e-8).fit(X, y)
    moved = np.abs(strong.coef_ - source.coef_).max(0)
    assert (moved[X.slices[0]].max() > 0) == (scales[0] > 0)


@pytest.mark.parametrize("name", ["few", "tall", "wide"])
def test_search_over_C_and_scales_agrees_with_a_grid_search(name):
    X, y = make_problem(name)
    grid = {"C": [0.1, 1.0], "block_scales": [(1.0, 0.2), (0.0, 1.0), (1.0, 1.0)]}
    options = {"cv": 3, "scoring": "neg_log_loss"}
    search = LogisticHeadCV(grid["C"], block_scales=grid["block_scales"], tol=1e-6, **options).fit(X, y)
    reference = GridSearchCV(LogisticHead(tol=1e-6), grid, **options).fit(X, y)
    assert search.cv_results_["params"] == reference.cv_results_["params"]
    assert search.cv_results_.keys() == reference.cv_results_.keys()
    assert search.best_params_ == reference.best_params_
    for key in ("split0_test_score", "split1_test_score", "split2_test_score", "mean_test_score"):
        np.testing.assert_allclose(search.cv_results_[key], reference.cv_results_[key], atol=2e-3)
    expected = reference.best_estimator_
    np.testing.assert_allclose(search.predict_proba(X), expected.predict_proba(X), atol=2e-3)


def test_several_sparse_and_dense_blocks():
    X, y = make_problem("few")
    words, vectors = X.blocks
    parts = FeatureBlocks(vectors[:, :3], words[:, :100], words[:, 100:], vectors[:, 3:])
    for shape_limit in (150, 900):
        few = slice(0, shape_limit)
        head = LogisticHead(tol=1e-8).fit(parts[few], y[few])
        stacked = parts[few].to_sparse()
        reference = LogisticHead(tol=1e-8).fit(stacked, y[few])
        np.testing.assert_allclose(head.predict_proba(stacked), reference.predict_proba(parts[few]), atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_ridge_agrees_with_that_on_the_stacked_matrix(name):
    X, y = make_problem(name)
    head = RidgeHead(alpha=3.0).fit(X, y)
    reference = Ridge(alpha=3.0).fit(X.to_sparse().toarray(), y)
    np.testing.assert_allclose(head.coef_, reference.coef_, atol=1e-8)
    np.testing.assert_allclose(head.predict(X), reference.predict(X.to_sparse()), atol=1e-8)
    many = RidgeHead(alphas=[0.1, 1.0, 10.0]).fit(X, y)
    np.testing.assert_allclose(many.loo_errors_, RidgeHead(alphas=[0.1, 1.0, 10.0]).fit(X.to_sparse(), y).loo_errors_)


def test_works_with_splitters_searches_pipelines_and_pickle():
    X, y = make_problem("few")
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert isinstance(train, FeatureBlocks)
    assert len(train) + len(test) == len(X) == 150
    scores = cross_val_score(LogisticHead(), X, y, cv=3)
    np.testing.assert_allclose(scores, cross_val_score(LogisticHead(), X.to_sparse(), y, cv=3))
    to_blocks = FunctionTransformer(lambda rows: FeatureBlocks(sp.csr_array(rows[:, :400]), rows[:, 400:]))
    search = GridSearchCV(make_pipeline(to_blocks, LogisticHead()), {"logistichead__C": [1, 10]}, cv=2)
    search.fit(train.to_sparse().toarray(), y_train)
    assert search.score(test.to_sparse().toarray(), y_test) > 0.3
    head = LogisticHead(block_scales=(1, 2)).fit(train, y_train)
    assert clone(head).block_scales == (1, 2)
    copy = pickle.loads(pickle.dumps((head, X)))
    np.testing.assert_array_equal(copy[0].predict(copy[1]), head.predict(X))


def test_rows_and_products_are_those_of_the_stacked_matrix():
    X, _ = make_problem("few")
    stacked = X.to_sparse().toarray()
    weights = np.random.default_rng(0).normal(size=(X.shape[1], 2))
    np.testing.assert_allclose(X @ weights, stacked @ weights)
    np.testing.assert_allclose(X.T @ stacked[:, :2], stacked.T @ stacked[:, :2])
    for rows in (slice(3, 9), [5, 1], np.arange(150) % 7 == 0, 4):
        np.testing.assert_array_equal(X[rows].to_sparse().toarray(), np.atleast_2d(stacked[rows]))
    assert X[[1, 2], ...].shape == (2, 410)
    assert X.dtype == np.float64
    assert repr(X) == "FeatureBlocks of shape (150, 410): sparse (150, 400), dense (150, 10)"


def test_neither_fit_nor_prediction_stacks(monkeypatch):
    X, y = make_problem("few")
    words = sp.csr_array(sp.hstack([sp.vstack([X.blocks[0]] * 9)] * 7))
    wide = FeatureBlocks(words, np.vstack([X.blocks[1]] * 9))

    def refuse(*args, **kwargs):
        raise AssertionError("a sparse block became dense")

    for method in ("toarray", "todense", "__array__"):
        for cls in (sp.csr_array, sp.csc_array):
            monkeypatch.setattr(cls, method, refuse, raising=False)
    for head in (LogisticHead(), LogisticHeadCV([1.0], cv=2)):
        head.fit(wide, np.tile(y, 9)).predict_proba(wide)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X, y: FeatureBlocks(), "at least one block"),
        (lambda X, y: FeatureBlocks(np.ones(3)), "Block 0 has 1"),
        (lambda X, y: FeatureBlocks(np.ones((3, 1)), np.ones((2, 1))), "Block 0 has 3 rows, block 1 has 2"),
        (lambda X, y: LogisticHead().fit(FeatureBlocks(X.blocks[0], np.full((150, 1), np.nan)), y), "contains NaN"),
        (lambda X, y: LogisticHead().fit(X, y[:-1]), "150 rows and 149 labels"),
        (lambda X, y: LogisticHead().fit(X, None), "requires y to be passed"),
        (lambda X, y: LogisticHead().fit(X, y).predict(X.blocks[0]), "X has 400 features, but LogisticHead is exp"),
        (lambda X, y: LogisticHead(block_scales=(1, 1)).fit(X.blocks[0], y), "needs features in blocks"),
        (lambda X, y: LogisticHead(block_scales=(1,)).fit(X, y), r"one finite scale.*Got \(1,\) for 2 blocks"),
        (lambda X, y: LogisticHead(block_scales=(1, -1)).fit(X, y), "not negative"),
        (lambda X, y: LogisticHead(block_scales=(0, 0)).fit(X, y), "not all zero"),
        (lambda X, y: LogisticHeadCV(block_scales=[]).fit(X, y), "at least one candidate"),
        (lambda X, y: LogisticHeadCV(block_scales=[(1, 2), (1,)]).fit(X, y), "one finite scale"),
    ],
)
def test_bad_input_is_named(make, message):
    X, y = make_problem("few")
    with pytest.raises(ValueError, match=message):
        make(X, y)


def test_other_estimators_are_told_what_to_do():
    X, y = make_problem("few")
    with pytest.raises(TypeError, match=r"to_sparse\(\)"):
        LogisticRegression().fit(X, y)
    with pytest.raises(IndexError, match="rows only"):
        X[:, 0]


@pytest.mark.gpu
@pytest.mark.parametrize("name", SHAPES)
def test_gpu_finds_the_same_model_and_search(name):
    X, y = make_problem(name, dtype=np.float32)
    options = {"tol": 1e-5, "block_scales": (1.0, 0.5)}
    there, here = (LogisticHead(device=device, **options).fit(X, y) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(there.predict_proba(X), here.predict_proba(X), atol=1e-2)
    options = {"Cs": [0.1, 1.0], "block_scales": [(1.0, 0.5), (0.0, 1.0)], "cv": 3, "scoring": "neg_log_loss"}
    there, here = (LogisticHeadCV(device=device, tol=1e-5, **options).fit(X, y) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"], atol=5e-3)
