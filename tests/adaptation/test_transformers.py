"""Contract of all adaptations: they read domains, keep the order of rows and their state, and name bad input."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from transferkit import (
    CORAL,
    DomainWeighting,
    FeatureAugmentation,
    ImportanceWeighting,
    JointDistributionAdaptation,
    LabelShiftWeighting,
    LinearTransport,
    MarginalizedDenoising,
    StructuralCorrespondence,
    SubspaceAlignment,
    load,
    save,
)
from transferkit.adaptation._source_weighting import SourceWeighting
from transferkit.adaptation.protocols import GivesWeights, LinearOnTarget

RNG = np.random.default_rng(0)
X = np.abs(np.vstack([RNG.normal(size=(40, 5)), RNG.normal([1, 0, 0, 0, 2], size=(30, 5))]))
DOMAIN = np.repeat([3, 4, -1, -2], [20, 20, 15, 15])
Y = np.r_[X[:40, 1] > np.median(X[:40, 1]), np.arange(30) % 2].astype(int)  # those of the target are not used
ADAPTATIONS = [
    CORAL(),
    DomainWeighting(),
    FeatureAugmentation(2.0),
    ImportanceWeighting(),
    ImportanceWeighting("kliep", n_centres=10, tol=1e-3),
    ImportanceWeighting("kmm", tol=1e-4),
    JointDistributionAdaptation(3),
    LabelShiftWeighting(),
    LinearTransport(reflection="auto"),
    MarginalizedDenoising(2, 4),
    StructuralCorrespondence(3, 2),
    SubspaceAlignment(3),
]


@pytest.fixture(params=ADAPTATIONS, ids=lambda a: type(a).__name__ + str(getattr(a, "method", "")))
def adaptation(request):
    return clone(request.param)


def test_adaptations_offer_what_other_packages_ask_for(adaptation):
    assert isinstance(adaptation, LinearOnTarget) != isinstance(adaptation, MarginalizedDenoising)
    adaptation.fit(X, Y, sample_domain=DOMAIN)
    assert isinstance(adaptation, GivesWeights) == isinstance(adaptation, SourceWeighting)


def test_rows_keep_their_order(adaptation):
    mapped = adaptation.fit_transform(X, Y, sample_domain=DOMAIN)
    order = RNG.permutation(70)
    again = adaptation.transform(X[order], sample_domain=DOMAIN[order])
    np.testing.assert_allclose(again, mapped[order], atol=1e-12)
    refitted = clone(adaptation).fit_transform(X[order], Y[order], sample_domain=DOMAIN[order])
    if not isinstance(adaptation, ImportanceWeighting) and not hasattr(adaptation, "random_state"):
        np.testing.assert_allclose(refitted, mapped[order], atol=1e-6)


def test_rows_are_of_the_target_when_nothing_is_said(adaptation):
    adaptation.fit(X, Y, sample_domain=DOMAIN)
    np.testing.assert_array_equal(adaptation.transform(X), adaptation.transform(X, sample_domain=-np.ones(70)))


def test_target_map_is_what_explanations_take_it_for(adaptation):
    if not isinstance(adaptation, LinearOnTarget):
        pytest.skip("not linear")
    adaptation.fit(X, Y, sample_domain=DOMAIN)
    matrix, offset = adaptation.target_map()
    np.testing.assert_allclose(X @ matrix + offset, adaptation.transform(X), atol=1e-10)


def test_names_match_the_columns(adaptation):
    mapped = adaptation.fit_transform(X, Y, sample_domain=DOMAIN)
    names = adaptation.get_feature_names_out()
    assert len(set(names)) == len(names) == mapped.shape[1]


@pytest.mark.filterwarnings("ignore:The classifier hardly distinguishes some classes")
def test_second_fit_forgets_the_first(adaptation):
    fresh = clone(adaptation).fit(X, Y, sample_domain=DOMAIN)
    again = adaptation.fit(X[:, :4] + 1, Y, sample_domain=-DOMAIN).fit(X, Y, sample_domain=DOMAIN)
    assert set(vars(fresh)) == set(vars(again))
    np.testing.assert_array_equal(fresh.transform(X, sample_domain=DOMAIN), again.transform(X, sample_domain=DOMAIN))


def test_saved_and_pickled_adaptations_do_the_same(adaptation, tmp_path):
    mapped = adaptation.fit_transform(X, Y, sample_domain=DOMAIN)
    save(adaptation, tmp_path / "adaptation.tk")
    for copy in (pickle.loads(pickle.dumps(adaptation)), load(tmp_path / "adaptation.tk")):
        np.testing.assert_array_equal(copy.transform(X, sample_domain=DOMAIN), mapped)


def test_float32_stays(adaptation):
    rows = X.astype(np.float32)
    mapped = adaptation.fit_transform(rows, Y, sample_domain=DOMAIN)
    assert mapped.dtype == np.float32
    wide = clone(adaptation).fit_transform(X, Y, sample_domain=DOMAIN)
    if not isinstance(adaptation, (MarginalizedDenoising, StructuralCorrespondence)):
        np.testing.assert_allclose(mapped, wide, atol=2e-2)


def test_float32_stays_where_parameters_are_numbers_of_numpy(adaptation):
    numbers = {name: np.float64(value) for name, value in adaptation.get_params().items() if type(value) is float}
    adaptation.set_params(**numbers)
    assert adaptation.fit_transform(X.astype(np.float32), Y, sample_domain=DOMAIN).dtype == np.float32


def test_metadata_is_routed_when_routing_is_on_and_only_then(adaptation):
    with config_context(enable_metadata_routing=True):
        routed = adaptation.set_fit_request(sample_domain=True).set_transform_request(sample_domain=True)
        pipeline = make_pipeline(routed, LogisticRegression())
        pipeline.fit(X, Y, sample_domain=DOMAIN)
        assert pipeline.predict(X[40:]).shape == (30,)
    from sklearn import get_config

    assert not get_config()["enable_metadata_routing"]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (None, "needs 'sample_domain': one number per row"),
        (np.ones(70), r"has none of the target \(less than 0\)"),
        (-np.ones(70), r"has none of the source \(larger than 0\)"),
        (np.ones(69), "Got 70 rows and 69 domains"),
        (np.r_[0, DOMAIN[1:]], "Got 0.* at position 0"),
        (np.r_[DOMAIN[:-1], np.nan], "Got .*nan.* at position 69"),
        (np.array(["a"] * 70), "1-D array of numbers"),
    ],
)
def test_bad_domains_are_named(adaptation, domain, message):
    before = dict(vars(adaptation))
    with pytest.raises(ValueError, match=message):
        adaptation.fit(X, Y, sample_domain=domain)
    assert vars(adaptation) == before


@pytest.mark.parametrize(
    "uses_labels",
    [
        CORAL(class_proportions="estimate"),
        JointDistributionAdaptation(),
        LabelShiftWeighting(),
        StructuralCorrespondence(3, 2),
    ],
    ids=lambda a: type(a).__name__,
)
def test_missing_labels_are_refused_in_source_rows_alone(uses_labels):
    labels = np.where(DOMAIN > 0, Y, np.nan)
    assert uses_labels.fit(X, labels, sample_domain=DOMAIN).transform(X).shape[0] == 70
    labels[3] = np.nan
    with pytest.raises(ValueError, match=r"Labels of source rows \(.*\): The label at position 3 is missing"):
        uses_labels.fit(X, labels, sample_domain=DOMAIN)


def test_other_numbers_of_features_are_refused(adaptation):
    adaptation.fit(X, Y, sample_domain=DOMAIN)
    with pytest.raises(ValueError, match=r"X has 4 features, but .* is expecting 5"):
        adaptation.transform(X[:, :4])


SPARSE = [
    DomainWeighting(),
    FeatureAugmentation(),
    ImportanceWeighting(),
    LabelShiftWeighting(),
    StructuralCorrespondence(3, 2),
]


@pytest.mark.parametrize("adaptation", SPARSE, ids=lambda a: type(a).__name__)
def test_sparse_rows_stay_sparse_and_mean_the_same(adaptation):
    rows = X * (X > 0.7)
    dense = clone(adaptation).fit_transform(rows, Y, sample_domain=DOMAIN)
    mapped = clone(adaptation).fit_transform(sparse.csr_matrix(rows), Y, sample_domain=DOMAIN)
    assert sparse.issparse(mapped)
    np.testing.assert_allclose(mapped.toarray(), dense, atol=1e-8)


@pytest.mark.parametrize(
    "adaptation", [JointDistributionAdaptation(3), SubspaceAlignment(3), MarginalizedDenoising(2, 4)]
)
def test_sparse_rows_are_read_as_they_are(adaptation):
    rows = X * (X > 0.7)
    dense = clone(adaptation).fit_transform(rows, Y, sample_domain=DOMAIN)
    mapped = clone(adaptation).fit_transform(sparse.csr_matrix(rows), Y, sample_domain=DOMAIN)
    np.testing.assert_allclose(mapped, dense, atol=1e-8)


@pytest.mark.parametrize("method", ["kliep", "kmm"])
def test_gaussian_kernels_refuse_sparse_rows(method):
    with pytest.raises(TypeError, match="needs dense rows"):
        ImportanceWeighting(method).fit(sparse.csr_matrix(X), sample_domain=DOMAIN)


def alternate(X):
    """Return a domain for each row, in turn."""
    from transferkit._validation import count_rows

    return np.array([1, -1, 2, -2])[np.arange(count_rows(X)) % 4]


def split_in_turn(cls):
    """Return a class whose `fit` takes rows of both domains in turn, as scikit-learn's checks call it."""

    class InTurn(cls):
        def fit(self, X, y=None, *, sample_domain=None):
            try:
                domain = alternate(X) if sample_domain is None else sample_domain
            except TypeError:
                domain = sample_domain
            return super().fit(X, y, sample_domain=domain)

        def fit_transform(self, X, y=None, *, sample_domain=None):
            return self.fit(X, y, sample_domain=sample_domain).transform(X)

    InTurn.__name__ = InTurn.__qualname__ = f"{cls.__name__}InTurn"
    globals()[InTurn.__name__] = InTurn  # so that it can be pickled
    return InTurn


@parametrize_with_checks(
    [
        split_in_turn(CORAL)(),
        split_in_turn(LinearTransport)(reflection="auto"),
        split_in_turn(SubspaceAlignment)(1),
        split_in_turn(JointDistributionAdaptation)(2),
        split_in_turn(DomainWeighting)(),
        split_in_turn(FeatureAugmentation)(),
        split_in_turn(ImportanceWeighting)(C=0.01),
        split_in_turn(LabelShiftWeighting)(),
        split_in_turn(StructuralCorrespondence)(3, 1, min_count=1),
        split_in_turn(MarginalizedDenoising)(1, 3),
    ],
    expected_failed_checks=lambda estimator: {
        ImportanceWeighting: {"check_transformer_n_iter": "only two of its methods count steps"},
        LabelShiftWeighting: dict.fromkeys(
            ["check_estimators_dtypes", "check_fit2d_1feature"], "needs two source rows of each class"
        ),
    }.get(type(estimator).__base__, {}),
)
@pytest.mark.filterwarnings("ignore:The weights are dominated by few rows")
@pytest.mark.filterwarnings("ignore:The classifier hardly distinguishes some classes")
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "adaptation",
    [CORAL(), JointDistributionAdaptation(), LinearTransport(), SubspaceAlignment(), MarginalizedDenoising()],
    ids=lambda a: type(a).__name__,
)
def test_rows_whose_products_overflow_are_refused(adaptation):
    adaptation = clone(adaptation).fit(X, Y, sample_domain=DOMAIN)
    state = dict(vars(adaptation))
    with pytest.raises(ValueError, match=r"numbers as large as .*e\+300 are out of the range of float64. Bring"):
        adaptation.fit(1e300 * X, Y, sample_domain=DOMAIN)
    assert vars(adaptation) == state
