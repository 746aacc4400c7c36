"""LogisticHead: scikit-learn's optimum, its API, warnings and errors."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_expit, log_softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import LogisticHead
from transferkit._training.linear import problem
from transferkit._validation import validate_rows


@parametrize_with_checks([LogisticHead()])
def test_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def measure_objective(model, X, y, sample_weight=None):
    """Return C * sum(weight * loss) + ||coef||^2 / 2 in float64."""
    weights = compute_sample_weight(model.class_weight, y)
    weights = weights if sample_weight is None else weights * sample_weight
    labels = np.searchsorted(model.classes_, y)
    coef = np.asarray(model.coef_, np.float64)
    scores = np.asarray(X.astype(np.float64) @ coef.T) + model.intercept_
    if scores.shape[1] == 1:
        losses = -log_expit(np.where(labels == 1, 1, -1) * scores[:, 0])
    else:
        losses = -log_softmax(scores, axis=1)[np.arange(len(labels)), labels]
    return model.C * (weights * losses).sum() + (coef**2).sum() / 2


def make_problem(n_samples, n_features, n_classes, *, sparse=False, seed=0):
    X, y = make_classification(
        n_samples,
        n_features,
        n_informative=8,
        n_redundant=2,
        n_classes=n_classes,
        flip_y=0.1,
        random_state=seed,
    )
    if sparse:
        X[np.random.default_rng(seed).random(X.shape) < 0.9] = 0
        X[:, 0] += 0.2  # far from centred
        X = sp.csr_matrix(X)
    return X, y


SHAPES = {"tall": (400, 20), "wide": (150, 300), "wide, many rows": (220, 260)}


@pytest.fixture(autouse=True)
def many_rows_are_few(monkeypatch):
    """Lower limits so that 220 rows are trained as many are, which takes little time."""
    monkeypatch.setattr(problem, "MAX_SPAN_ROWS", 200)


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
def test_reaches_the_optimum_of_scikit_learn(shape, sparse, n_classes, C):
    X, y = make_problem(*SHAPES[shape], n_classes, sparse=sparse)
    head = LogisticHead(C=C, tol=1e-6).fit(X, y)
    reference = LogisticRegression(C=C, tol=1e-7, max_iter=20_000).fit(X, y)
    ours, theirs = measure_objective(head, X, y), measure_objective(reference, X, y)
    assert ours <= theirs * (1 + 1e-6)
    if C <= 1:  # with weak penalties the reference ends too far from its own optimum to compare weights
        np.testing.assert_allclose(head.coef_, reference.coef_, atol=1e-2 * np.abs(reference.coef_).max())
    default = measure_objective(LogisticHead(C=C).fit(X, y), X, y)
    assert default <= theirs * (1 + 1e-4)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("parameters", "weighted"),
    [
        ({"fit_intercept": False}, False),
        ({"class_weight": "balanced"}, False),
        ({"class_weight": {0: 5.0}}, True),
    ],
    ids=["no intercept", "balanced", "class and sample weights"],
)
@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_same_optimum_with_weights_and_without_intercept(shape, parameters, weighted, n_classes, sparse):
    X, y = make_problem(*SHAPES[shape], n_classes, sparse=sparse)
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float) if weighted else None
    head = LogisticHead(tol=1e-8, **parameters).fit(X, y, sample_weight=weights)
    reference = LogisticRegression(tol=1e-8, max_iter=20_000, **parameters).fit(X, y, sample_weight=weights)
    ours, theirs = (measure_objective(model, X, y, weights) for model in (head, reference))
    assert ours <= theirs * (1 + 1e-7)
    np.testing.assert_allclose(head.coef_, reference.coef_, atol=2e-3 * np.abs(reference.coef_).max())
    np.testing.assert_allclose(head.intercept_, reference.intercept_, atol=2e-3)


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris], ids=["breast cancer", "iris"])
def test_badly_scaled_features_still_reach_the_optimum(load):
    X, y = load(return_X_y=True)
    head = LogisticHead(C=1.0).fit(X, y)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=200).fit(X, y)
    assert measure_objective(head, X, y) <= measure_objective(reference, X, y) * (1 + 1e-4)
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(X), atol=5e-3)


def test_two_classes_give_one_row_of_weights_for_the_second_class():
    X, y = load_breast_cancer(return_X_y=True)
    head = LogisticHead().fit(X, y)
    assert head.coef_.shape == (1, X.shape[1])
    assert head.intercept_.shape == (1,)
    assert head.decision_function(X).shape == (len(X),)
    np.testing.assert_array_equal(head.decision_function(X) > 0, head.predict(X) == 1)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_float32_stays_float32_at_the_same_optimum(sparse):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X = sp.csr_matrix(X) if sparse else X
    head = LogisticHead(C=10.0).fit(X, y)
    assert head.coef_.dtype == head.intercept_.dtype == np.float32
    assert head.predict_proba(X).dtype == np.float32
    reference = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000).fit(X.astype(np.float64), y)
    assert measure_objective(head, X, y) <= measure_objective(reference, X, y) * (1 + 1e-4)


def test_float64_is_kept():
    X, y = load_iris(return_X_y=True)
    head = LogisticHead().fit(X, y)
    assert head.coef_.dtype == head.predict_proba(X).dtype == np.float64


def test_labels_may_be_strings():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    head = LogisticHead().fit(X, names)
    assert head.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(head.predict(X), np.asarray(head.classes_)[LogisticHead().fit(X, y).predict(X)])


def test_probabilities_agree_with_their_logarithms_and_sum_to_one():
    for n_classes in (2, 3):
        X, y = make_problem(200, 20, n_classes)
        head = LogisticHead(C=100.0).fit(X, y)
        np.testing.assert_allclose(head.predict_proba(X).sum(1), 1)
        np.testing.assert_allclose(np.exp(head.predict_log_proba(X)), head.predict_proba(X))
        assert np.isfinite(head.predict_log_proba(1e6 * X)).all()


def test_integer_weights_are_repetitions():
    X, y = make_problem(60, 20, 3)
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = LogisticHead(tol=1e-10).fit(X, y, sample_weight=weights)
    repeated = LogisticHead(tol=1e-10).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
def test_warm_start_begins_at_the_last_solution(shape, sparse):
    X, y = make_problem(*SHAPES[shape], 3, sparse=sparse)
    head = LogisticHead(warm_start=True).fit(X, y)
    cold, coef = head.n_iter_[0], head.coef_
    head.fit(X, y)
    assert head.n_iter_[0] <= cold // 2
    np.testing.assert_allclose(head.coef_, coef, atol=0.02 * np.abs(coef).max())


def test_warm_start_forgets_a_solution_of_other_classes():
    X, y = load_iris(return_X_y=True)
    head = LogisticHead(warm_start=True).fit(X, y).fit(X, y + 1)
    np.testing.assert_array_equal(head.coef_, LogisticHead().fit(X, y + 1).coef_)


def test_second_fit_forgets_the_first():
    X, y = load_iris(return_X_y=True)
    head = LogisticHead().fit(*make_problem(100, 20, 2)).fit(X, y)
    np.testing.assert_array_equal(head.coef_, LogisticHead().fit(X, y).coef_)


def test_failed_fit_leaves_the_fitted_head_as_it_was():
    X, y = load_iris(return_X_y=True)
    head = LogisticHead().fit(X, y)
    before = dict(vars(head))
    with pytest.raises(ValueError, match="at least 2 classes"):
        head.fit(np.ones((3, 7)), ["a", "a", "a"])
    assert vars(head).keys() == before.keys()
    assert head.n_features_in_ == 4
    with pytest.raises(NotFittedError):
        LogisticHead().predict(X)


def test_warns_when_it_did_not_converge():
    X, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 steps.*Increase max_iter or tol"):
        head = LogisticHead(max_iter=2).fit(X, y)
    assert head.n_iter_.tolist() == [2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"C": -1},
            r"The 'C' parameter of LogisticHead must be a float in the range \(0.0, inf\). Got -1 instead.",
        ),
        ({"C": np.inf}, r"a float in the range \(0.0, inf\). Got inf instead."),
        ({"tol": 0}, "The 'tol' parameter of LogisticHead must be a float"),
        ({"max_iter": 0}, "The 'max_iter' parameter of LogisticHead must be an int"),
        ({"class_weight": "even"}, "The 'class_weight' parameter of LogisticHead"),
        ({"device": "abacus"}, "device must be 'auto', 'cpu', 'cuda' or 'cuda:<number>'. Got 'abacus'"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogisticHead(**parameters).fit(*load_iris(return_X_y=True))


@pytest.mark.parametrize(
    ("X", "y", "weight", "message"),
    [
        ([[0.0], [1.0]], ["a", "a"], None, "needs labels of at least 2 classes"),
        ([[0.0], [1.0]], [0.5, 1.5], None, "Unknown label type: continuous"),
        ([[0.0], [np.nan]], [0, 1], None, "Input X contains NaN"),
        ([[0.0], [1.0]], [0, 1, 1], None, "inconsistent numbers of samples"),
        ([[0.0], [1.0]], [0, 1], [1.0, -1.0], "Negative values in data passed to `sample_weight`"),
        ([[0.0], [1.0]], [0, 1], [0.0, 0.0], "zero"),
    ],
)
def test_bad_input_is_named(X, y, weight, message):
    with pytest.raises(ValueError, match=message):
        LogisticHead().fit(X, y, sample_weight=weight)


def test_features_of_zero_variance_and_repeated_features_do_no_harm():
    X, y = load_iris(return_X_y=True)
    wide = np.hstack([X, np.ones((len(X), 2)), X, np.zeros((len(X), 1))])
    head = LogisticHead(tol=1e-9).fit(wide, y)
    reference = LogisticRegression(tol=1e-9, max_iter=5000).fit(wide, y)
    np.testing.assert_allclose(head.coef_, reference.coef_, atol=1e-3)
    assert np.abs(head.coef_[:, -1]).max() < 1e-6


def test_one_row_is_scored_without_a_copy_of_the_weights():
    X, y = make_problem(150, 300, 3, sparse=True)
    for head in (LogisticHead().fit(X, y), pickle.loads(pickle.dumps(LogisticHead().fit(X, y)))):
        assert head.coef_.T.flags.c_contiguous


def test_works_in_pipeline_search_and_clone():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), clone(LogisticHead()))
    search = GridSearchCV(pipeline, {"logistichead__C": [0.01, 1.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"logistichead__C": 1.0}


PREDICT_WITHOUT_TORCH = """
import pickle, sys
class Torchless:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not installed here")
sys.meta_path.insert(0, Torchless())
head, X, expected = pickle.load(open(sys.argv[1], "rb"))
assert abs(head.predict_proba(X) - expected).max() < 1e-12
head.predict(X), head.predict_log_proba(X), head.decision_function(X)
"""


def test_pickled_head_predicts_where_torch_cannot_be_imported(tmp_path):
    X, y = load_iris(return_X_y=True)
    head = LogisticHead().fit(X, y)
    path = tmp_path / "head.pickle"
    path.write_bytes(pickle.dumps((head, X, head.predict_proba(X))))
    subprocess.run([sys.executable, "-c", PREDICT_WITHOUT_TORCH, str(path)], check=True)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_rows_that_pass_quickly_are_still_checked(make):
    X, y = load_iris(return_X_y=True)
    head = LogisticHead().fit(X, y)
    expected = head.decision_function(X.tolist())  # a list goes through scikit-learn's checks
    np.testing.assert_allclose(head.decision_function(make(X)), expected)
    np.testing.assert_allclose(head.decision_function(make(X.astype(np.float32))), expected, atol=1e-4)
    huge = np.full((1, 4), 2e38, dtype=np.float32)  # finite, though its sum is not
    checked = validate_rows(head, make(huge))
    np.testing.assert_array_equal(checked.toarray() if sp.issparse(checked) else checked, huge)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            head.predict(make(np.full((1, 4), value)))
    with pytest.raises(ValueError, match="X has 3 features, but LogisticHead is expecting 4"):
        head.predict(make(X[:, :3]))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        head.predict(make(X[:0]))


def repeated_rows(seed):
    """Return few unit vectors, each many times, and labels that contradict some of them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(6, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = rng.integers(0, 6, 40)
    return vectors[index], np.where(rng.random(40) < 0.2, 0, index % 3)


@pytest.mark.parametrize("C", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("seed", range(4))
def test_few_float32_rows_give_the_result_of_float64(seed, C):
    X, y = repeated_rows(seed)
    single, double = LogisticHead(C=C).fit(X, y), LogisticHead(C=C).fit(X.astype(np.float64), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-4, atol=1e-4)
    assert single.n_iter_ == double.n_iter_


@pytest.mark.parametrize("seed", range(8))
def test_a_fit_ends_when_rounding_hides_all_progress(seed, monkeypatch):
    monkeypatch.setattr("transferkit._training.linear.logistic.SMALL_PROBLEM", 0)  # stays in float32
    X, y = repeated_rows(seed)
    head = LogisticHead(C=1e5, tol=1e-9).fit(X, y)  # a tolerance that float32 cannot reach, and no warning
    assert head.n_iter_[0] < 300


def test_weak_penalties_on_many_classes_need_few_steps():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 12))
    index = rng.integers(0, 8, 120)
    X = centres[index] + 0.01 * rng.normal(size=(120, 12))
    y = np.where(rng.random(120) < 0.1, rng.integers(0, 4, 120), index % 4)
    head = LogisticHead(C=1e5).fit(X, y)
    exact = LogisticHead(C=1e5, tol=1e-8, max_iter=5000).fit(X, y)
    assert head.n_iter_[0] < 250  # a thousand are not enough without the blocks of the Hessian
    np.testing.assert_allclose(head.predict_proba(X), exact.predict_proba(X), atol=0.02)
