"""Labels from one domain, predictions for another: adapted where that is clearly better, and not where it is not."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from transferkit import (
    CORAL,
    DomainTransferClassifier,
    FeatureAugmentation,
    ImportanceWeighting,
    LinearTransport,
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    MarginalizedDenoising,
    StructuralCorrespondence,
    SubspaceAlignment,
    TfidfEncoder,
    explain,
    load,
    save,
    top_terms,
)
from transferkit._algorithms.domains.diagnostics import Estimate
from transferkit.transfer.domains._candidates import FittedCandidate, fit_candidate
from transferkit.transfer.domains._features import Domains, make_folds
from transferkit.transfer.domains._selection import density_ratio, estimate_error_rates, select_candidate
from transferkit.transfer.pretrained import uses_labels

RNG = np.random.default_rng(0)
DIGITS, LABELS = load_digits(n_class=5, return_X_y=True)
ORDER = RNG.permutation(len(LABELS))[:360]  # the digits come writer by writer, which is itself a shift
DIGITS, LABELS = DIGITS[ORDER] / 16, LABELS[ORDER]
SOURCE, Y, TARGET, Y_TARGET = DIGITS[:180], LABELS[:180], DIGITS[180:], LABELS[180:]
GOOD = ["great {}", "a great and fine {}", "fine {} indeed", "this {} is great"]
BAD = ["poor {}", "a poor and awful {}", "awful {} indeed", "this {} is poor"]
BOOKS, PANS = ["plot", "novel", "hero", "chapter"], ["lid", "handle", "coating", "pan"]


def reviews(words):
    texts = [pattern.format(word) for word in words for pattern in GOOD + BAD]
    return texts, np.array(["good"] * 4 + ["bad"] * 4 * 1)[np.tile(np.arange(8), len(words))]


TEXTS, SENTIMENT = reviews(BOOKS)
OTHERS, TRUTH = reviews(PANS)


def test_inverted_contrast_is_found_and_undone():
    model = DomainTransferClassifier().fit(SOURCE, Y, X_target=1 - TARGET)
    assert model.adaptation_name_ == "LinearTransport"
    assert model.adaptation_.reflected_
    assert model.score(1 - TARGET, Y_TARGET) > 0.85
    table = model.adaptation_scores_
    assert table["adaptation"][0] == "none"
    assert table["chosen"].sum() == 1
    best = int(np.flatnonzero(table["chosen"])[0])
    assert table["gain"][best] == table["gain"].max() > table["standard_error"][best]
    assert len({len(column) for column in table.values()}) == 1


@pytest.fixture(scope="module")
def unshifted():
    return DomainTransferClassifier().fit(SOURCE, Y, X_target=TARGET)


def test_nothing_is_adapted_without_a_shift(unshifted):
    model = unshifted
    assert model.adaptation_name_ == "none"
    assert model.adaptation_ is None
    plain = DomainTransferClassifier(adaptation=None).fit(SOURCE, Y, X_target=TARGET)
    np.testing.assert_array_equal(model.predict(TARGET), plain.predict(TARGET))


def test_target_rows_are_learned_from_but_labels_of_the_target_are_not_asked_for():
    shifted = TARGET @ np.diag(np.linspace(0.2, 3, 64)) + 1
    plain = DomainTransferClassifier(adaptation=None).fit(SOURCE, Y, X_target=shifted)
    adapted = DomainTransferClassifier(adaptation=LinearTransport()).fit(SOURCE, Y, X_target=shifted)
    assert adapted.score(shifted, Y_TARGET) > plain.score(shifted, Y_TARGET) + 0.1


@pytest.mark.parametrize(
    "adaptation",
    [None, CORAL(), SubspaceAlignment(20), FeatureAugmentation(), ImportanceWeighting(), ImportanceWeighting("kmm")],
    ids=lambda a: type(a).__name__,
)
def test_a_named_adaptation_is_used_as_it_is(adaptation, tmp_path):
    model = DomainTransferClassifier(adaptation=adaptation).fit(SOURCE, Y, X_target=TARGET)
    assert model.adaptation_name_ == ("none" if adaptation is None else type(adaptation).__name__)
    assert adaptation is None or model.adaptation_ is not adaptation
    assert model.score(TARGET, Y_TARGET) > 0.6
    expected = model.predict_proba(TARGET)
    save(model, tmp_path / "model.tk")
    for copy in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model.tk")):
        np.testing.assert_array_equal(copy.predict_proba(TARGET), expected)
    np.testing.assert_array_equal(model.classes_[expected.argmax(1)], model.predict(TARGET))
    assert model.n_features_in_ == 64


def test_weights_reach_the_head():
    model = DomainTransferClassifier(head=LogisticHead(1.0), adaptation=ImportanceWeighting(C=0.1))
    model.fit(SOURCE, Y, X_target=TARGET + 0.1)
    weights = model.adaptation_.sample_weight_[:180]
    trusted = LogisticHead(1.0).fit(SOURCE, Y, weights)
    np.testing.assert_allclose(model.head_.coef_, trusted.coef_, atol=0.03)
    assert np.abs(LogisticHead(1.0).fit(SOURCE, Y).coef_ - trusted.coef_).max() > 0.1


def test_labelled_rows_of_the_target_help_augmented_features():
    flipped = 1 - TARGET
    few = np.arange(60)
    X, y = np.vstack([SOURCE, flipped[few]]), np.concatenate([Y, Y_TARGET[few]])
    domain = np.repeat([1, -1], [180, 60])
    model = DomainTransferClassifier(adaptation=FeatureAugmentation())
    model.fit(X, y, X_target=flipped, sample_domain=domain)
    assert model.score(flipped[60:], Y_TARGET[60:]) > 0.7


@pytest.mark.parametrize(
    "adaptation", ["auto", "term_vectors+denoising", StructuralCorrespondence(10, 2, min_count=2)], ids=str
)
def test_texts(adaptation, tmp_path):
    model = DomainTransferClassifier(adaptation=adaptation).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    assert model.score(OTHERS, TRUTH) > 0.9
    save(model, tmp_path / "model.tk")
    np.testing.assert_array_equal(load(tmp_path / "model.tk").predict(OTHERS), model.predict(OTHERS))
    if adaptation == "auto":
        names = ["none", "term_vectors", "term_vectors+denoising"]
        assert model.adaptation_scores_["adaptation"].tolist() == names


@pytest.mark.parametrize(
    ("encoder", "adaptation"),
    [
        (None, StructuralCorrespondence(10, 2, min_count=2)),
        (None, "term_vectors"),
        (None, ImportanceWeighting()),
        (LSAEncoder(4, min_df=1), CORAL()),
        (LSAEncoder(4, min_df=1), SubspaceAlignment(3)),
        (LSAEncoder(4, min_df=1), FeatureAugmentation()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_explanations_of_adapted_models_add_up(encoder, adaptation):
    model = DomainTransferClassifier(encoder, adaptation=adaptation).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    text = "this lid is great, and a poor handle"
    explanation = explain(model, text)
    expected = model.decision_function([text])
    np.testing.assert_allclose(explanation.contributions.sum() + explanation.intercept[0], expected[0], atol=1e-4)
    assert np.abs(explanation.contributions).max() > 0


@pytest.mark.parametrize("adaptation", [CORAL(), ImportanceWeighting(), SubspaceAlignment(3)])
def test_terms_are_traced_through_adaptations_of_dense_features(adaptation):
    encoder = LSAEncoder(n_components=4, min_df=1)
    model = DomainTransferClassifier(encoder, adaptation=adaptation).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    assert {"great", "fine"} & {term for term, _ in top_terms(model, n=3)["good"]}
    assert explain(model, "this lid is great").decision[0] > explain(model, "this lid is poor").decision[0]


@pytest.mark.parametrize("name", ["prior", "prior+denoising"])
def test_names_until_version_0_1_are_accepted_with_a_warning(name):
    with pytest.warns(
        FutureWarning, match=f"adaptation='{name}' .* is now called adaptation='term_vectors".replace("+", r"\+")
    ):
        model = DomainTransferClassifier(adaptation=name).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    current = model.adaptation_name_
    assert current == name.replace("prior", "term_vectors")
    again = DomainTransferClassifier(adaptation=current).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    np.testing.assert_array_equal(again.predict_proba(OTHERS), model.predict_proba(OTHERS))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", ["none", "term_vectors", "term_vectors+denoising"])
def test_the_model_that_is_judged_is_the_one_that_is_returned(name, n_classes):
    y = SENTIMENT if n_classes == 2 else np.where(["fine" in text for text in TEXTS], "fine", SENTIMENT)
    domains = Domains(TEXTS, y, OTHERS, np.ones(len(y)), True, make_folds(y, 3, 0))
    fitted = fit_candidate(name, TfidfEncoder(), None, None, domains, device="cpu", evaluate=True)
    rows = fitted.encoder.transform(OTHERS)
    rows = rows if fitted.adaptation is None else fitted.adaptation.transform(rows)
    np.testing.assert_allclose(fitted.head.predict_proba(rows), fitted.target, atol=1e-5)
    np.testing.assert_allclose(fitted.held_out.sum(1), 1)
    assert fitted.held_out.shape == (len(y), n_classes)
    assert (fitted.head.classes_[fitted.held_out.argmax(1)] == y).mean() > 0.8
    back = np.unique(y)[fitted.predict_source(fitted.head.classes_[fitted.target.argmax(1)]).argmax(1)]
    assert (back == y).mean() > 0.8


def test_the_blend_decides_as_the_mean_of_its_two_models():
    model = DomainTransferClassifier(adaptation="none+denoising").fit(TEXTS, SENTIMENT, X_target=OTHERS)
    plain = DomainTransferClassifier(adaptation=None).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    rows = plain.encoder_.transform(TEXTS + OTHERS)
    denoising = MarginalizedDenoising().fit(rows, sample_domain=np.repeat([1, -1], [len(TEXTS), len(OTHERS)]))
    denoised = LogisticHeadCV((0.1, 1.0, 10.0, 100.0), cv=make_folds(SENTIMENT, 3, 0), scoring="neg_log_loss")
    denoised.fit(denoising.transform(rows[: len(TEXTS)]), SENTIMENT)
    decisions = plain.decision_function(OTHERS), denoised.decision_function(denoising.transform(rows[len(TEXTS) :]))
    np.testing.assert_allclose(model.decision_function(OTHERS), np.mean(decisions, axis=0), atol=1e-3)


def test_sparse_rows():
    rows = sparse.csr_matrix(np.round(16 * DIGITS) * (DIGITS > 0.5))
    model = DomainTransferClassifier(TfidfTransformer()).fit(rows[:180], Y, X_target=rows[180:])
    assert model.adaptation_scores_["adaptation"].tolist() == ["none", "none+denoising"]
    assert model.score(rows[180:], Y_TARGET) > 0.8


@pytest.mark.parametrize("head", [LogisticHeadCV([1.0, 10.0], scoring="neg_log_loss"), GaussianNB()])
def test_other_heads(head):
    model = DomainTransferClassifier(head=head).fit(SOURCE, Y, X_target=TARGET)
    assert type(model.head_) is (LogisticHead if isinstance(head, LogisticHeadCV) else type(head))
    assert model.score(TARGET, Y_TARGET) > 0.6


@pytest.mark.parametrize("adaptation", ["auto", "none+denoising"])
def test_the_head_in_use_has_the_parameters_of_the_one_given(adaptation):
    head = LogisticHead(3.0, fit_intercept=False, class_weight="balanced", tol=1e-3, max_iter=77)
    model = DomainTransferClassifier(head=head, adaptation=adaptation).fit(SOURCE, Y, X_target=TARGET)
    assert model.head_.get_params() == head.get_params()
    assert not model.head_.intercept_.any()


def test_pretrained_encoders_stay_as_they_are():
    encoder = LSAEncoder(4, min_df=1).fit(TEXTS + OTHERS)
    model = DomainTransferClassifier(encoder, adaptation=CORAL())
    model = clone(model).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    assert model.encoder_.encoder_ is encoder


class KeepsCorrelated(TransformerMixin, BaseEstimator):
    """Keeps the columns that go with the labels, and says in no tag that it needs them."""

    def fit(self, X, y=None):
        self.kept_ = np.argsort(np.abs((X - X.mean(0)).T @ (y - y.mean())))[-20:]
        return self

    def transform(self, X):
        return X[:, self.kept_]


@pytest.mark.parametrize("head", [None, GaussianNB()], ids=["logistic", "bayes"])
@pytest.mark.parametrize(
    "encoder", [SelectKBest(k=20), make_pipeline(SelectKBest(k=20), StandardScaler()), KeepsCorrelated()], ids=str
)
def test_labels_of_held_out_rows_do_not_leak_through_the_encoder(encoder, head):
    random = np.random.default_rng(0)
    X, y, X_target = random.normal(size=(80, 300)), np.arange(80) % 2, random.normal(size=(60, 300))
    domains = Domains(X, y, X_target, np.ones(80), False, make_folds(y, 3, 0))
    for adaptation in (None, CORAL()):
        given = "name", clone(encoder), adaptation, head, domains
        fitted = fit_candidate(*given, device="cpu", evaluate=True)
        assert 0.3 < (fitted.held_out.argmax(1) == y).mean() < 0.7  # the labels mean nothing


def test_an_encoder_that_learns_from_labels_gives_what_its_features_give():
    varies = SOURCE.std(0) > 0.1
    X, X_target = SOURCE[:, varies], TARGET[:, varies]
    models = [
        DomainTransferClassifier(encoder, LogisticHead(1.0), adaptation=CORAL()).fit(X, Y, X_target=X_target)
        for encoder in (SelectKBest(k=20), SelectKBest(k=20).fit(X, Y))
    ]
    np.testing.assert_allclose(*(model.predict_proba(X_target) for model in models), atol=0.02)


def test_adaptations_are_compared_on_features_that_labels_have_chosen():
    encoder = make_pipeline(VarianceThreshold(0.01), SelectKBest(k=20))
    model = DomainTransferClassifier(encoder, GaussianNB()).fit(SOURCE, Y, X_target=1 - TARGET)
    assert model.adaptation_scores_["adaptation"].size == 5


class MarksWhatItLearnsFrom(TransformerMixin, BaseEstimator):
    """Gives rows that it learns from other features than the same rows later, as TargetEncoder does."""

    def fit(self, X, y):
        return self

    def fit_transform(self, X, y):
        return X / 2

    def transform(self, X):
        return X


def test_features_of_the_training_rows_are_those_that_the_encoder_gave_while_it_learned():
    model = DomainTransferClassifier(MarksWhatItLearnsFrom(), LogisticHead(1.0), adaptation=None)
    model.fit(SOURCE, Y, X_target=TARGET)
    trusted = LogisticHead(1.0).fit(SOURCE / 2, Y)
    np.testing.assert_allclose(model.head_.coef_, trusted.coef_, atol=1e-2)
    np.testing.assert_array_equal(model.predict(TARGET), trusted.predict(TARGET))


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (PCA(), False),
        (TfidfTransformer(), False),
        (LSAEncoder(), False),
        (SelectKBest(), True),
        (make_pipeline(SelectKBest(), PCA()), True),
        (SelectFromModel(LogisticRegression()), True),
        (KeepsCorrelated(), True),
    ],
    ids=str,
)
def test_encoders_that_may_learn_from_labels_are_known(encoder, expected):
    assert uses_labels(encoder) == expected


NAMES = [f"pixel {number}" for number in range(64)]


def make_frame(kind, rows):
    return pytest.importorskip(kind).DataFrame(dict(zip(NAMES, rows.T, strict=True)))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("encoder", ["none", "unfitted", "fitted"])
def test_columns_of_frames_are_known_by_name(kind, encoder):
    X, X_target = make_frame(kind, SOURCE), make_frame(kind, TARGET)
    models = []
    for rows, of_target in ((X, X_target), (SOURCE, TARGET)):
        given = {"none": None, "unfitted": StandardScaler(), "fitted": StandardScaler().fit(rows)}[encoder]
        model = DomainTransferClassifier(given, LogisticHead(), adaptation=CORAL())
        models.append(model.fit(rows, Y, X_target=of_target))
    model, plain = models
    assert model.feature_names_in_.tolist() == NAMES
    assert model.n_features_in_ == 64
    np.testing.assert_allclose(model.predict_proba(X_target), plain.predict_proba(TARGET), atol=0.02)
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            method(X_target[NAMES[::-1]])
    with pytest.raises(ValueError, match="X_target must have the columns of X: The feature names should match"):
        model.fit(X, Y, X_target=X_target[NAMES[::-1]])
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        model.fit(
            X,
            Y,
            X_target=X_target.rename(columns={"pixel 3": "p"})
            if kind == "pandas"
            else X_target.rename({"pixel 3": "p"}),
        )
    assert model.predict(X_target).shape == (180,)  # as before the failed fits
    model.set_params(encoder=None).fit(SOURCE, Y, X_target=TARGET)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_frames_of_transformers_do_not_matter(output):
    pytest.importorskip(output)
    X, X_target = make_frame("pandas", SOURCE), make_frame("pandas", TARGET)
    model = DomainTransferClassifier(StandardScaler(), LogisticHead(), adaptation=CORAL())
    expected = clone(model).fit(X, Y, X_target=X_target).predict_proba(X_target)
    with config_context(transform_output=output):
        np.testing.assert_array_equal(model.fit(X, Y, X_target=X_target).predict_proba(X_target), expected)
    model.set_params(encoder=StandardScaler().set_output(transform=output))
    np.testing.assert_array_equal(model.fit(X, Y, X_target=X_target).predict_proba(X_target), expected)


def test_an_encoder_gets_the_rows_as_they_are():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"kind": np.array(["a", "b", "c"])[Y % 3], "size": np.where(Y > 2, np.nan, Y)})
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoder = ColumnTransformer([("kinds", OneHotEncoder(), ["kind"]), ("sizes", numbers, ["size"])])
    model = DomainTransferClassifier(encoder).fit(frame, Y, X_target=frame[::-1])
    assert model.score(frame, Y) > 0.75
    assert model.adaptation_scores_["adaptation"].size == 5
    records = frame.fillna(-1.0).to_dict("records")
    model = DomainTransferClassifier(DictVectorizer(), adaptation=None).fit(records, Y, X_target=records[::-1])
    assert model.score(records, Y) > 0.75
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("convert", [(np.asarray, sparse.csr_matrix), (sparse.csr_matrix, np.asarray)], ids=str)
def test_sparse_and_dense_rows_go_together(convert):
    model = DomainTransferClassifier(head=LogisticHead(), adaptation=None)
    model.fit(convert[0](SOURCE), Y, X_target=convert[1](TARGET))
    trusted = LogisticHead().fit(SOURCE, Y)
    np.testing.assert_allclose(model.predict_proba(TARGET), trusted.predict_proba(TARGET), atol=0.02)


def test_frames_of_two_kinds_are_refused():
    X, X_target = make_frame("pandas", SOURCE), make_frame("polars", TARGET)
    with pytest.raises(TypeError, match=r"must have the same type\. Got DataFrame of pandas and DataFrame of polars"):
        DomainTransferClassifier(StandardScaler()).fit(X, Y, X_target=X_target)


def test_few_labels_mean_no_comparison():
    with pytest.warns(UserWarning, match="one class has only 1: no adaptation is used"):
        model = DomainTransferClassifier().fit(SOURCE[:3], [0, 0, 1], X_target=TARGET)
    assert model.adaptation_name_ == "none"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_target": None}, "needs 'X_target'"),
        ({"X_target": TARGET[:, :60]}, "X_target must have the columns of X: X has 60 features, but .* expecting 64"),
        ({"X_target": TARGET[:0]}, "'X_target' has no rows"),
        ({"X": TEXTS, "y": SENTIMENT, "X_target": []}, "'X_target' has no rows"),
        ({"y": Y[:-1]}, "Got 180 rows and 179 labels"),
        ({"y": np.zeros(180)}, "at least 2 classes"),
        ({"sample_domain": -np.ones(180)}, "no source sample"),
        ({"X_target": np.where(TARGET > 0.9, np.nan, TARGET)}, "contains NaN"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(arguments, message):
    model = DomainTransferClassifier()
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(**({"X": SOURCE, "y": Y, "X_target": TARGET} | arguments))
    assert vars(model) == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"adaptation": "best"}, "The 'adaptation' parameter of DomainTransferClassifier must be"),
        ({"adaptation": "term_vectors"}, "needs texts, but X is a table"),
        ({"cv": 1}, "The 'cv' parameter"),
        ({"head": LogisticHeadCV(cv=4)}, "Leave cv at the default"),
        ({"head": LogisticHeadCV(scoring="f1_macro", refit="average")}, "Leave scoring, refit at the default"),
        ({"head": LogisticHeadCV(block_scales=[[1.0, 2.0]])}, "Leave block_scales at the default"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        DomainTransferClassifier(**parameters).fit(SOURCE, Y, X_target=TARGET)


def test_density_ratios_are_those_of_classifiers_that_did_not_see_the_row():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(120, 300)), random.normal(size=(80, 300))
    alike = density_ratio(source, target, C=0.01)
    assert 0.8 < np.median(alike) < 1.25  # a classifier can part these rows, but no others
    x = random.normal(size=(4000, 1))
    shifted = density_ratio(x[:2000], x[2000:] + 0.5)
    np.testing.assert_allclose(np.log(shifted), x[:2000, 0] / 2 - 0.125, atol=0.4)


@pytest.mark.parametrize("n_target", [1, 2])
def test_density_ratios_of_very_few_rows_are_finite(n_target):
    assert np.isfinite(density_ratio(SOURCE, TARGET[:n_target])).all()


def estimate(**error_rates):
    """Return estimates on 1,000 rows, the first of which are wrong."""
    terms = {name: (np.arange(1000) < 1000 * rate).astype(float) for name, rate in error_rates.items()}
    return {name: Estimate(term.mean(), term) for name, term in terms.items()}


def choose_among(before, **candidates):
    """Return the name that is taken of candidates, given by name with their estimates."""
    names = ["none", *(name.replace("_and_", "+") for name in candidates)]
    best, rows = select_candidate(
        [FittedCandidate(name, None, None, None) for name in names], [before, *candidates.values()]
    )
    assert [row["chosen"] for row in rows] == [position == best for position in range(len(rows))]
    return names[best]


@pytest.mark.parametrize(
    ("name", "errors", "is_taken"),
    [
        ("CORAL", 0.060, True),  # where none has 0.1
        ("CORAL", 0.097, False),
        ("none_and_denoising", 0.097, True),
        ("none_and_denoising", 0.103, True),
        ("none_and_denoising", 0.140, False),
    ],
)
def test_evidence_must_be_for_an_adaptation_and_against_a_blend(name, errors, is_taken):
    before, after = (dict.fromkeys(("iwv", "circular", "entropy"), rate) for rate in (0.1, errors))
    taken = choose_among(estimate(**before), **{name: estimate(**after)})
    assert (taken != "none") == is_taken


def test_a_gain_of_few_rows_must_be_larger_than_its_error():
    def of_rows(n_rows, errors):
        terms = np.isin(np.arange(n_rows), errors).astype(float)
        return {"circular": Estimate(terms.mean(), terms)}

    few = of_rows(50, [0, 1, 2, 3]), of_rows(50, [2, 3, 4])  # two points, of three rows
    assert choose_among(few[0], CORAL=few[1]) == "none"
    many = of_rows(5000, range(400)), of_rows(5000, range(300))
    assert choose_among(many[0], CORAL=many[1]) == "CORAL"


def test_of_several_adaptations_the_one_with_the_largest_gain_is_taken():
    after = {name: estimate(circular=rate) for name, rate in (("A", 0.1), ("B", 0.05), ("C", 0.08))}
    assert choose_among(estimate(circular=0.2), **after) == "B"


@pytest.mark.parametrize(("of_blend", "taken"), [(0.055, "term_vectors+denoising"), (0.07, "term_vectors")])
def test_a_blend_is_compared_with_what_was_chosen_without_it(of_blend, taken):
    after = {"term_vectors": estimate(circular=0.05), "term_vectors_and_denoising": estimate(circular=of_blend)}
    assert choose_among(estimate(circular=0.1), **after) == taken


def test_one_misled_criterion_decides_nothing():
    before = dict.fromkeys(("iwv", "circular", "entropy"), 0.2)
    assert choose_among(estimate(**before), CORAL=estimate(**before | {"entropy": 0.0})) == "none"
    better = {"iwv": 0.15, "circular": 0.15, "entropy": 0.9}
    assert choose_among(estimate(**before), CORAL=estimate(**better)) == "CORAL"


def test_criteria_that_only_one_has_are_not_compared():
    assert choose_among(estimate(circular=0.2), CORAL=estimate(circular=0.2, dev=0.0)) == "none"


@pytest.fixture
def evaluated():
    """Return a candidate with its predictions: half of the source is sure and right, a quarter unsure and wrong."""
    truth = np.zeros(400, int)
    held_out = np.repeat([[0.95, 0.05], [0.6, 0.4], [0.4, 0.6]], [200, 100, 100], axis=0)
    target = np.repeat([[0.95, 0.05], [0.6, 0.4], [0.4, 0.6]], [20, 90, 90], axis=0)
    back = np.repeat([[0.0, -9.0], [-9.0, 0.0]], [360, 40], axis=0)
    head = SimpleNamespace(classes_=np.array([0, 1]))
    fitted = FittedCandidate("CORAL", None, None, head, held_out, target, lambda pseudo: back)
    return fitted, Domains(None, truth, None, np.ones(400), False, [])


def test_each_criterion_estimates_the_error_rate_in_its_own_way(evaluated):
    found = estimate_error_rates(*evaluated, np.repeat([1.0, 3.0], 200))
    assert list(found) == ["iwv", "dev", "circular", "entropy"]
    assert found["iwv"].value == pytest.approx(0.375)  # the unsure half counts three times
    assert found["dev"].value == pytest.approx(0.45, abs=0.05)  # of the target nine in ten are unsure, half are wrong
    assert found["circular"].value == pytest.approx(0.1)
    assert found["entropy"].value == pytest.approx(0.45)  # half of the unsure ones, as on the source


@pytest.mark.parametrize(("share", "votes"), [(0.25, True), (0.15, False)])
def test_weights_that_rest_on_few_rows_do_not_vote(evaluated, share, votes):
    found = estimate_error_rates(*evaluated, (np.arange(400) < share * 400).astype(float))
    assert ("iwv" in found) == votes
    assert "dev" in found


def test_weights_in_the_space_of_predictions_that_rest_on_few_rows_do_not_vote(evaluated):
    fitted, domains = evaluated
    fitted.held_out[:] = np.repeat([[0.999, 0.001], [0.55, 0.45]], [380, 20], axis=0)
    fitted.target[:] = np.repeat([[0.55, 0.45], [0.45, 0.55]], 100, axis=0)
    assert list(estimate_error_rates(fitted, domains, np.ones(400))) == ["iwv", "circular", "entropy"]
