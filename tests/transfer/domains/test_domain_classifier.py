"""Labels from one domain, predictions for another: better where the domains differ, and never worse."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
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
from transferkit.transfer.domains import _consensus
from transferkit.transfer.domains._candidates import fit_candidate
from transferkit.transfer.domains._consensus import SourceCheck, compare_on_source, find_consensus, fit_consensus
from transferkit.transfer.domains._features import DomainFeatures, Domains, make_folds
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
    assert model.adaptation_name_ == "consensus"
    assert model.adaptation_ is None
    assert model.score(1 - TARGET, Y_TARGET) > 0.85
    table = model.adaptation_scores_
    names = ["none", "LinearTransport", "JointDistributionAdaptation", "consensus"]
    assert table["adaptation"].tolist() == names
    assert table["chosen"].tolist() == [False, False, False, True]
    assert table["agreement"][-1] == 1
    assert len({len(column) for column in table.values()}) == 1


def test_the_consensus_is_better_where_the_domains_differ_and_no_worse_where_they_do_not():
    for rows, least in ((TARGET @ np.diag(np.linspace(0.2, 3, 64)) + 1, 0.1), (TARGET, -0.01)):
        plain = DomainTransferClassifier(adaptation=None).fit(SOURCE, Y, X_target=rows)
        model = DomainTransferClassifier().fit(SOURCE, Y, X_target=rows)
        assert model.adaptation_name_ == "consensus"
        assert model.score(rows, Y_TARGET) >= plain.score(rows, Y_TARGET) + least


def make_unclustered(n_rows):
    """Return rows in two clusters that do not depend on the label."""
    rows = RNG.normal(size=(n_rows, 30))
    rows[:, 0] += 8 * RNG.integers(2, size=n_rows)
    return rows, (rows[:, 1] + rows[:, 2] > 0).astype(int)


def test_classes_that_are_not_clusters_are_left_as_they_are():
    X, y = make_unclustered(300)
    model = DomainTransferClassifier().fit(X, y, X_target=make_unclustered(300)[0])
    held_out = model.adaptation_scores_["held_out"]
    assert held_out[0] > held_out[-1] + 0.02
    assert model.adaptation_name_ == "none"
    assert model.adaptation_scores_["chosen"].tolist() == [True, False, False, False]
    plain = DomainTransferClassifier(adaptation=None).fit(X, y, X_target=X)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))


def test_the_summary_says_what_is_used_and_on_what_evidence():
    model = DomainTransferClassifier().fit(SOURCE, Y, X_target=TARGET)
    summary, table = model.summary_, model.adaptation_scores_
    assert summary["strategy"] == "consensus"
    assert summary["helped"] is None
    assert summary["n_labels"] == 180
    np.testing.assert_array_equal(list(summary["shares"].values()), table["weight"][:-1])
    assert f"source: {100 * table['held_out'][0]:.1f} % without adaptation, " in summary["text"]
    assert f"none {100 * table['weight'][0]:.0f} % ({100 * table['agreement'][0]:.0f} %), " in summary["text"]
    X, y = make_unclustered(300)
    summary = DomainTransferClassifier().fit(X, y, X_target=X).summary_
    assert summary["text"].startswith("No adaptation is in use: held-out labels of the source do not show that")
    assert ". Right on held-out samples of the source: " in summary["text"]
    assert summary["shares"] == {}
    for adaptation, text in ((CORAL(), "Adaptation CORAL is in use."), (None, "No adaptation is in use.")):
        fitted = DomainTransferClassifier(adaptation=adaptation).fit(SOURCE, Y, X_target=TARGET)
        assert fitted.summary_["text"].startswith(text)
        assert "held-out samples of the source" not in fitted.summary_["text"]


def test_adaptations_that_disagree_are_said_to():
    turned = TARGET.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)
    with pytest.warns(
        UserWarning, match=r"Cohen's kappa of LinearTransport and JointDistributionAdaptation is 0\.[0-4]"
    ):
        model = DomainTransferClassifier().fit(SOURCE, Y, X_target=turned)
    assert model.score(turned, Y_TARGET) < 0.8


def test_the_head_learns_from_the_labels_and_from_the_consensus():
    head = LogisticHead(1.0, tol=1e-6)
    model = DomainTransferClassifier(head=head).fit(SOURCE, Y, X_target=TARGET + 0.3)
    random_state, known = np.random.RandomState(0), np.unique(Y)
    domains = Domains(SOURCE, Y, TARGET + 0.3, np.ones(180), False, [])
    check = compare_on_source(SOURCE, Y, head, make_folds(Y, 3, np.random.RandomState(0)))
    found = replace(find_consensus(SOURCE, Y, TARGET + 0.3, head), weights=check.weights)
    assert found.probabilities.shape == (3, 180, 5)
    np.testing.assert_allclose(found.probabilities.sum(2), 1)
    soft_labels = np.vstack([Y[:, None] == known, found.mean])
    trusted = clone(head).fit_soft(np.vstack([SOURCE, TARGET + 0.3]), soft_labels, classes=known)
    np.testing.assert_allclose(model.head_.coef_, trusted.coef_, atol=1e-4)
    again, table = fit_consensus(
        DomainFeatures(SOURCE, TARGET + 0.3, None, None), domains, GaussianNB(), 3, random_state
    )
    assert table["chosen"][-1]
    found_by_bayes = find_consensus(SOURCE, Y, TARGET + 0.3, GaussianNB())
    hard = GaussianNB().fit(np.vstack([SOURCE, TARGET + 0.3]), np.append(Y, known[found_by_bayes.mean.argmax(1)]))
    np.testing.assert_allclose(again.theta_, hard.theta_)


def test_candidates_that_fail_on_the_source_count_less():
    rng, known = np.random.default_rng(2), np.repeat(np.arange(5), 40)
    centres, shift = 1.5 * rng.normal(size=(5, 10)), rng.normal(size=10)
    X, target = rng.normal(size=(2, 200, 100))  # most features are noise, in which neighbours are lost
    X[:, :10] += centres[known]
    target[:, :10] += centres[known] + shift
    head = LogisticHead(0.01)
    check = compare_on_source(X, known, head, make_folds(known, 3, 0))
    weights, n_right = check.weights, check.by_candidate.sum(1) + 1
    np.testing.assert_allclose(weights, n_right / n_right.sum())
    assert weights[2] < 0.9 * weights[1]
    alike = find_consensus(X, known, target, head)
    found = replace(alike, weights=weights)
    assert (found.codes[-1] == known).mean() > (alike.codes[-1] == known).mean() + 0.02


def test_a_class_that_the_source_lacks_is_not_labelled_away():
    few = np.arange(40)
    X, y = np.vstack([SOURCE[Y < 4], TARGET[few]]), np.append(Y[Y < 4], Y_TARGET[few])
    domain = np.repeat([1, -1], [(Y < 4).sum(), 40])
    with pytest.warns(UserWarning, match="no adaptation is used, because the source has no label 4"):
        model = DomainTransferClassifier().fit(X, y, X_target=TARGET[40:], sample_domain=domain)
    assert model.adaptation_name_ == "none"
    assert (model.predict(TARGET[40:])[Y_TARGET[40:] == 4] == 4).mean() > 0.5


def test_samples_that_are_all_alike_are_not_adapted():
    with pytest.warns(UserWarning, match="because all samples of the source have the same features"):
        model = DomainTransferClassifier().fit(np.ones((20, 3)), np.arange(20) % 2, X_target=TARGET[:, :3])
    assert model.adaptation_name_ == "none"


@pytest.mark.parametrize("n_target", [1, 2, 5])
def test_very_few_target_rows_are_enough(n_target):
    model = DomainTransferClassifier().fit(SOURCE, Y, X_target=TARGET[:n_target])
    assert model.score(TARGET, Y_TARGET) > 0.9


def test_of_very_many_rows_a_sample_is_labelled(monkeypatch):
    monkeypatch.setattr(_consensus, "MOST_ROWS", 100)
    sizes = []
    monkeypatch.setattr(
        _consensus, "find_consensus", lambda *given: sizes.append(len(given[2])) or find_consensus(*given)
    )
    model = DomainTransferClassifier().fit(SOURCE, Y, X_target=TARGET)
    assert sizes[0] == 100
    assert sum(sizes[1:]) == 110  # two more of each class
    assert model.score(TARGET, Y_TARGET) > 0.9


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
        assert model.adaptation_name_ == "term_vectors+denoising"


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


def test_the_blend_decides_as_the_weighted_mean_of_its_two_models():
    model = DomainTransferClassifier(adaptation="none+denoising").fit(TEXTS, SENTIMENT, X_target=OTHERS)
    encoder = TfidfEncoder(sublinear_tf=True).fit(TEXTS + OTHERS)
    plain = DomainTransferClassifier(encoder, adaptation=None).fit(TEXTS, SENTIMENT, X_target=OTHERS)
    rows = plain.encoder_.transform(TEXTS + OTHERS)
    denoising = MarginalizedDenoising().fit(rows, sample_domain=np.repeat([1, -1], [len(TEXTS), len(OTHERS)]))
    denoised = LogisticHeadCV((0.1, 1.0, 10.0, 100.0), cv=make_folds(SENTIMENT, 3, 0), scoring="neg_log_loss")
    denoised.fit(denoising.transform(rows[: len(TEXTS)]), SENTIMENT)
    decisions = plain.decision_function(OTHERS), denoised.decision_function(denoising.transform(rows[len(TEXTS) :]))
    np.testing.assert_allclose(model.decision_function(OTHERS), np.array([0.33, 0.67]) @ decisions, atol=1e-3)


def test_sparse_rows():
    rows = sparse.csr_matrix(np.round(16 * DIGITS) * (DIGITS > 0.5))
    model = DomainTransferClassifier(TfidfTransformer()).fit(rows[:180], Y, X_target=rows[180:])
    assert model.adaptation_name_ == "none+denoising"
    assert model.score(rows[180:], Y_TARGET) > 0.8
    model = DomainTransferClassifier(head=LogisticRegression()).fit(rows[:180], Y, X_target=rows[180:])
    assert model.adaptation_scores_["adaptation"].tolist() == ["none", "MarginalizedDenoising", "consensus"]
    assert model.score(rows[180:], Y_TARGET) > 0.8


@pytest.mark.parametrize("head", [LogisticHeadCV([1.0, 10.0], scoring="neg_log_loss"), GaussianNB()])
def test_other_heads(head):
    model = DomainTransferClassifier(head=head).fit(SOURCE, Y, X_target=TARGET)
    assert type(model.head_) is (LogisticHead if isinstance(head, LogisticHeadCV) else type(head))
    assert model.score(TARGET, Y_TARGET) > 0.6


@pytest.mark.parametrize("adaptation", ["auto", "none+denoising"])
def test_the_head_in_use_has_the_parameters_of_the_one_given(adaptation):
    head = LogisticHead(3.0, fit_intercept=False, class_weight="balanced", tol=1e-3, max_iter=177)
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


@pytest.mark.parametrize(
    "encoder", [SelectKBest(k=20), make_pipeline(SelectKBest(k=20), StandardScaler()), KeepsCorrelated()], ids=str
)
def test_labels_of_held_out_rows_do_not_leak_through_the_encoder(encoder):
    random = np.random.default_rng(0)
    X, y, X_target = random.normal(size=(80, 300)), np.arange(80) % 2, random.normal(size=(60, 300))
    domains = Domains(X, y, X_target, np.ones(80), False, make_folds(y, 3, 0))
    for adaptation in (None, CORAL()):
        head = LogisticHeadCV([1e-4, 0.1], scoring="neg_log_loss")
        fitted = fit_candidate("name", clone(encoder), adaptation, head, domains, device="cpu")
        assert fitted.head.C == 1e-4  # the labels mean nothing


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
    assert model.adaptation_scores_["adaptation"].size == 4


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
    assert model.adaptation_scores_["adaptation"].size == 4
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
    with pytest.warns(UserWarning, match="no adaptation is used, because class 1 has only 1 label"):
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


@pytest.mark.parametrize(
    ("n_right", "n_worse", "n_better", "is_passed"),
    [
        (180, 0, 0, True),  # 80 beyond the most frequent class, of which 8 may be lost
        (180, 6, 1, True),
        (180, 7, 1, False),
        (180, 16, 14, True),
        (180, 21, 19, False),  # less than one standard error from too many
        (110, 1, 1, False),
        (110, 0, 9, True),
        (90, 0, 0, False),  # worse than the most frequent class
        (90, 0, 20, True),
    ],
)
def test_adaptations_must_keep_most_of_what_the_head_knows(n_right, n_worse, n_better, is_passed):
    plain = np.arange(200) < n_right
    adapted = plain.copy()
    adapted[:n_worse], adapted[200 - n_better :] = False, True
    check = SourceCheck(np.array([plain, plain, plain]), adapted, plain, np.full(3, 1 / 3), 100)
    assert check.is_passed == is_passed


def test_adaptations_are_checked_without_the_head():
    X, y = load_breast_cancer(return_X_y=True)
    rows, others = np.split(np.random.RandomState(1).permutation(len(y))[:568], 2)
    X = (X - X.mean(0)) / X.std(0)
    head = LogisticHead(1.0)
    check = compare_on_source(X[rows], y[rows], head, make_folds(y[rows], 3, np.random.RandomState(0)))
    assert check._replace(by_adaptations=check.by_mean).is_passed  # with the head they lose little
    model = DomainTransferClassifier(head=head).fit(X[rows], y[rows], X_target=X[others])
    assert model.adaptation_name_ == "none"


def test_the_head_is_trained_on_a_reflected_source():
    model = DomainTransferClassifier(head=LogisticHead(1.0)).fit(SOURCE, Y, X_target=1 - TARGET)
    reflected = 2 * SOURCE.mean(0) - SOURCE
    assert (model.head_.predict(reflected) == Y).mean() > 0.95
    assert (model.head_.predict(SOURCE) == Y).mean() < 0.5
