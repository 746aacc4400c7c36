"""Strategies of transfer: their results, and the selection among them."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.svm import LinearSVC

import transferkit
from transferkit import (
    AutoencoderEncoder,
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    PretrainedEncoder,
    TfidfEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
    explain,
)
from transferkit._algorithms.linear.grid_descent import descend_grid
from transferkit.encoders.term_projection import find_projection, find_text_settings, join_terms
from transferkit.transfer.strategies import _term_vectors

SUBJECTS = {
    "pet": ["cat", "dog", "fur", "paw", "tail", "cow", "milk", "barn"],
    "money": ["stock", "bond", "price", "bank", "loan", "fund", "cash", "rate"],
    "sky": ["star", "moon", "orbit", "planet", "comet", "sun", "dust", "light"],
}


def make_texts(n, seed, subjects=tuple(SUBJECTS)):
    rng = np.random.RandomState(seed)
    labels = np.array([subjects[i % len(subjects)] for i in range(n)])
    fillers = ["the", "a", "of", "and", "with"]
    texts = [" ".join(rng.permutation([*rng.choice(SUBJECTS[label], 4), *rng.choice(fillers, 2)])) for label in labels]
    return texts, labels


UNLABELLED = make_texts(300, 0)[0]
FOLDS_OF_ONE = [(np.arange(12), np.arange(12, 24))]
TEXTS, LABELS = make_texts(24, 1)
TEST_TEXTS, TEST_LABELS = make_texts(300, 2)


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(8, min_count=1).fit(UNLABELLED)


@pytest.fixture(scope="module", params=["words", "LSA"])
def any_encoder(request, encoder):
    return encoder if request.param == "words" else LSAEncoder(8).fit(UNLABELLED)


def test_term_vectors_with_one_candidate_is_logistic_regression_on_both_blocks(any_encoder, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.ALPHAS", (2.0,))
    head = LogisticHead(C=3.0, tol=1e-7)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(TEXTS)
    n_grams, test_n_grams = (characters.transform(texts).toarray() for texts in (TEXTS, TEST_TEXTS))
    model = TransferClassifier(any_encoder, head, strategy="term_vectors").fit(TEXTS, LABELS)
    terms = join_terms(find_projection(any_encoder), TEXTS)
    rows, test_rows = (terms.encoder.transform(texts).toarray() for texts in (TEXTS, TEST_TEXTS))
    expected = 0
    labelled_idf = np.log((1 + len(TEXTS)) / (1 + (rows > 0).sum(0))) + 1
    weights = {"unlabelled": np.ones(rows.shape[1]), "labelled": labelled_idf / terms.encoder.idf_}
    table = model.strategy_scores_
    for idf, scales in weights.items():
        S, T = rows * scales, test_rows * scales
        n_known = len(terms.vectors)
        D, held_out = S[:, :n_known] @ terms.vectors, T[:, :n_known] @ terms.vectors
        mean = D.mean(0)
        without = np.eye(len(mean)) - np.outer(mean, mean) / (mean @ mean)
        D, held_out = (D - mean) @ without, (held_out - mean) @ without
        s, t = (1 / np.sqrt(np.square(block).sum() / len(S)) for block in (S, D))
        blocks = {"words": [s * S, 2 * t * D], "words + characters": [s * S, 2 * t * D, n_grams]}
        test_blocks = {
            "words": [s * T, 2 * t * held_out],
            "words + characters": [s * T, 2 * t * held_out, test_n_grams],
        }
        for kind in blocks:
            reference = LogisticRegression(C=3.0, tol=1e-9, max_iter=10_000).fit(np.hstack(blocks[kind]), LABELS)
            weight = table["weight"][(table["idf"] == idf) & (table["terms"] == kind)].sum()
            expected = expected + weight * reference.decision_function(np.hstack(test_blocks[kind]))
    np.testing.assert_allclose(model.decision_function(TEST_TEXTS), expected, atol=2e-3)
    assert model.head_.tol == 1e-7


def test_head_of_term_vectors_has_the_settings_it_was_trained_with(encoder):
    assert TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS).head_.tol == 1e-3
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model = TransferClassifier(encoder, LogisticHead(max_iter=2), strategy="term_vectors").fit(TEXTS, LABELS)
    assert model.head_.max_iter == 2


def test_term_vectors_of_many_rows_warns_where_it_does_not_converge(encoder, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", 10)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        TransferClassifier(encoder, LogisticHead(max_iter=1), strategy="term_vectors").fit(TEXTS, LABELS)


def test_the_old_name_of_term_vectors_is_accepted_with_a_warning(encoder, tmp_path):
    with pytest.warns(FutureWarning, match="is now called strategy='term_vectors'"):
        model = TransferClassifier(encoder, strategy="prior", cv=2).fit(TEXTS, LABELS)
    assert model.strategy_ == "term_vectors"
    model.strategy_ = "prior"  # as earlier versions saved it
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_array_equal(loaded.decision_function(TEXTS), model.decision_function(TEXTS))
    assert loaded.get_params()["strategy"] == "prior"
    with pytest.warns(FutureWarning, match="is now called strategy='term_vectors'"):
        regressor = TransferRegressor(encoder, strategy="prior").fit(TEXTS, np.arange(24.0))
    assert regressor.strategy_ == "term_vectors"


def test_words_that_only_pretraining_saw_are_understood(any_encoder):
    texts, labels = ["cat dog fur", "stock bond price", "star moon orbit"], ["pet", "money", "sky"]
    model = TransferClassifier(any_encoder).fit(texts, labels)
    assert model.strategy_ == "term_vectors"
    assert model.score(TEST_TEXTS, TEST_LABELS) > 0.95
    assert TransferClassifier(strategy="scratch").fit(texts, labels).score(TEST_TEXTS, TEST_LABELS) < 0.93


def test_further_terms_are_left_alone_where_they_begin_far_above_the_best(encoder, monkeypatch):
    found = []

    def descend(shape, starts, evaluate, margin, known):
        losses = descend_grid(shape, starts, evaluate, margin, known)
        found.append((known, min(losses.values())))
        return losses

    monkeypatch.setattr(_term_vectors, "MOST_JOINT_ROWS", 10)
    monkeypatch.setattr(_term_vectors, "descend_grid", descend)
    TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS)
    (first, best), (second, _), *_ = found
    assert first == np.inf
    assert second == best


@pytest.mark.parametrize("joint_rows", [600, 10], ids=["together", "around the best"])
@pytest.mark.parametrize("text", ["cat dog", "unheard", ""])
def test_texts_that_are_all_alike_say_nothing_of_other_texts(any_encoder, monkeypatch, joint_rows, text):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", joint_rows)
    model = TransferClassifier(any_encoder, strategy="term_vectors").fit([text] * 24, LABELS)
    np.testing.assert_allclose(model.predict_proba([text, "stock bond", "moon"]), 1 / 3, atol=1e-3)
    targets = np.arange(24.0)
    regressor = TransferRegressor(any_encoder, strategy="term_vectors").fit([text] * 24, targets)
    np.testing.assert_allclose(regressor.predict([text, "stock bond", "moon"]), targets.mean(), rtol=1e-3)


def test_words_that_only_the_labels_saw_count_too(encoder):
    texts = [*TEXTS, *["zebra zebu"] * 4]
    model = TransferClassifier(encoder, strategy="term_vectors").fit(texts, [*LABELS, *["pet"] * 4])
    assert model.predict(["zebu"]).tolist() == ["pet"]


def test_weights_of_candidates_are_a_tempered_posterior(encoder):
    table = TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS).strategy_scores_
    words = table["terms"] == "words"  # n-grams of characters are not clearly better
    loss = table["log_loss"][words]
    expected = np.exp(-len(TEXTS) / 4 * (loss - loss.min()))
    expected[expected < 1e-3] = 0
    np.testing.assert_allclose(table["weight"][words], expected / expected.sum(), atol=2e-3)
    assert table["weight"].sum() == pytest.approx(1)
    assert set(table["alpha"]) == {0, 0.25, 0.5, 1, 2, 4, np.inf}
    assert set(table["idf"]) == {"labelled", "unlabelled"}


def test_many_rows_give_nearly_the_model_of_all_candidates(encoder, monkeypatch):
    texts, labels = make_texts(90, 4)
    few = TransferClassifier(encoder, strategy="term_vectors").fit(texts, labels)
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", 10)
    many = TransferClassifier(encoder, strategy="term_vectors").fit(texts, labels)
    difference = np.abs(few.predict_proba(TEST_TEXTS) - many.predict_proba(TEST_TEXTS))
    assert difference.max() < 0.1
    assert 0.0 in many.strategy_scores_["alpha"]


def test_pairs_of_words_are_taken_where_words_alone_do_not_tell(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", 50)
    rng = np.random.RandomState(5)
    first = rng.choice(["cat", "dog", "star", "moon"], (200, 2))
    first = first[first[:, 0] != first[:, 1]]
    labels = np.where([a < b for a, b in first], "ascending", "descending")  # the order of two words is the class
    texts = [" ".join(pair) for pair in first]
    model = TransferClassifier(encoder, strategy="term_vectors").fit(texts[:100], labels[:100])
    table = model.strategy_scores_
    assert set(table["terms"]) == {"words", "n-grams", "n-grams + characters"}
    assert table["weight"][table["terms"] == "n-grams"].sum() == pytest.approx(1)
    assert "cat dog" in model.encoder_.vocabulary_
    assert model.score(texts[100:], labels[100:]) == 1
    assert explain(model, texts[100]).contributions.sum() + model.head_.intercept_[0] == pytest.approx(
        model.decision_function(texts[100:101])[0], abs=1e-5
    )
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_array_equal(loaded.decision_function(texts), model.decision_function(texts))


def test_pairs_of_words_are_left_out_where_they_do_not_help(encoder, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", 50)
    model = TransferClassifier(encoder, strategy="term_vectors").fit(*make_texts(90, 4))
    assert set(model.strategy_scores_["terms"]) == {"words", "n-grams", "words + characters"}
    assert not any(" " in term for term in model.encoder_.vocabulary_)


def test_auto_lists_every_strategy_and_takes_one(encoder):
    model = TransferClassifier(encoder).fit(TEXTS, LABELS)
    table = model.strategy_scores_
    assert {"term_vectors", "frozen", "scratch"} == set(table["strategy"])
    assert model.strategy_ == "term_vectors"
    assert table["weight"][table["strategy"] == "term_vectors"].sum() == pytest.approx(1)
    assert table["weight"][table["strategy"] != model.strategy_].max() == 0
    assert len({len(column) for column in table.values()}) == 1
    pandas = pytest.importorskip("pandas")
    assert len(pandas.DataFrame(table)) == len(table["alpha"])


def test_strategy_without_transfer_wins_with_a_warning():
    rng = np.random.RandomState(0)
    nonsense = [" ".join(rng.choice([w for words in SUBJECTS.values() for w in words], 6)) for _ in range(200)]
    misleading = PCA(1, random_state=0).fit(rng.rand(50, 8))
    X = rng.rand(90, 8)
    y = np.where(X[:, 0] + X[:, 1] > 1, "up", "down")
    with pytest.warns(UserWarning, match="Transfer did not help on held-out labels: scratch did better"):
        model = TransferClassifier(misleading).fit(X, y)
    assert model.strategy_ == "scratch"
    encoder = WordVectorEncoder(2, min_count=1).fit(nonsense)
    texts, labels = make_texts(150, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        auto = TransferClassifier(encoder).fit(texts, labels)
    scratch = TransferClassifier(strategy="scratch").fit(texts, labels)
    assert auto.score(TEST_TEXTS, TEST_LABELS) >= scratch.score(TEST_TEXTS, TEST_LABELS) - 0.02


@pytest.mark.parametrize(("n_labelled", "found"), [(90, "did not help on held-out labels"), (6, "is not tested")])
def test_encoder_that_is_fitted_to_the_labelled_rows_is_no_transfer(n_labelled, found):
    X = np.random.RandomState(0).rand(n_labelled, 8)
    y = np.where(X[:, 0] > np.median(X[:, 0]), "up", "down")
    expected = rf"not pretrained but fitted to the {n_labelled} labelled .* and {found}.*PCA\(...\).fit\(unlabelled\)"
    with pytest.warns(UserWarning, match=expected):
        model = TransferClassifier(PCA(1, random_state=0)).fit(X, y)
    assert "Nothing was transferred: the encoder was fitted to the labelled samples" in model.summary_["text"]
    assert not model.summary_["helped"]


def test_encoder_fitted_to_the_labelled_rows_that_helps_gives_no_warning_and_is_no_transfer():
    X = 6 * np.random.RandomState(0).rand(60, 1)
    summary = TransferClassifier(SplineTransformer(8)).fit(X, np.cos(2 * X[:, 0]) > 0).summary_
    assert summary["gain"] > 2 * summary["gain_standard_error"]
    assert not summary["helped"]
    assert "96.7 % with the encoder" in summary["text"]
    assert "Nothing was transferred" in summary["text"]


def test_scratch_is_the_average_of_logistic_regressions_on_tf_idf():
    model = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)
    words = TfidfVectorizer(sublinear_tf=True)
    both = make_union(words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True))
    rows, table, expected = {"words": words, "words + characters": both}, model.strategy_scores_, 0
    for C, weight, terms in zip(table["C"], table["weight"], table["terms"], strict=True):
        reference = make_pipeline(rows[str(terms)], LogisticRegression(C=C, tol=1e-9, max_iter=10_000))
        expected = expected + weight * reference.fit(TEXTS, LABELS).decision_function(TEST_TEXTS)
    np.testing.assert_allclose(model.decision_function(TEST_TEXTS), expected, atol=0.05)


def test_fine_tuning_trains_a_copy_of_the_encoder(any_encoder):
    before = pickle.dumps(any_encoder)
    model = TransferClassifier(any_encoder, strategy="finetune", cv=2).fit(TEXTS, LABELS)
    assert pickle.dumps(any_encoder) == before
    assert type(model.encoder_) is type(any_encoder)
    assert np.abs(model.encoder_.transform(TEXTS) - any_encoder.transform(TEXTS)).max() > 1e-3
    assert model.score(TEXTS, LABELS) == 1


def test_a_stronger_anchor_keeps_the_encoder_closer_to_what_was_pretrained(any_encoder):
    moves = []
    for strength in (0.0, 10.0, 1e3, 1e6):
        model = TransferClassifier(any_encoder, strategy="finetune", cv=FOLDS_OF_ONE, anchor_strength=strength)
        tuned = model.fit(TEXTS, LABELS).encoder_
        moves.append(np.abs(tuned.transform(TEXTS) - any_encoder.transform(TEXTS)).max())
    assert moves[0] > moves[1] > moves[2] > moves[3]
    assert moves[2] < 0.5 * moves[0]


def test_fine_tuning_has_no_intercept_where_the_head_has_none(any_encoder):
    head = LogisticHead(fit_intercept=False)
    model = TransferClassifier(any_encoder, head, strategy="finetune", cv=FOLDS_OF_ONE).fit(TEXTS, LABELS)
    assert not model.head_.intercept_.any()
    assert model.score(TEXTS, LABELS) > 0.9


@pytest.mark.parametrize("strategy", ["term_vectors", "frozen", "finetune", "scratch"])
def test_labels_without_meaning_are_not_predicted_out_of_fold(encoder, strategy):
    y = np.random.RandomState(0).permutation(np.repeat(["up", "down"], 30))
    table = TransferClassifier(encoder, strategy=strategy, cv=3).fit(make_texts(60, 6)[0], y).strategy_scores_
    assert table["mean"].max() < 0.75


def test_given_head_stands_for_its_own_strengths(encoder):
    model = TransferClassifier(encoder, LogisticHead(C=7.0)).fit(TEXTS, LABELS)
    assert set(model.strategy_scores_["C"]) == {7.0}
    model = TransferClassifier(encoder, LogisticHeadCV(Cs=[1, 5])).fit(TEXTS, LABELS)
    assert set(model.strategy_scores_["C"]) == {1.0, 5.0}
    grid = {"head__C": [1.0, 10.0]}
    search = GridSearchCV(TransferClassifier(encoder, LogisticHead()), grid, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["head__C"] == search.best_estimator_.head_.C


@pytest.mark.parametrize("parameter", [{"cv": 3}, {"scoring": "f1"}, {"refit": "average"}, {"block_scales": [(1.0,)]}])
def test_parameters_of_a_head_that_would_not_be_used_are_refused(encoder, parameter):
    [name] = parameter
    for strategy in ("auto", "term_vectors", "finetune"):
        model = TransferClassifier(encoder, LogisticHeadCV([1.0], **parameter), strategy=strategy)
        with pytest.raises(ValueError, match=f"The '{name}' parameter of the head is not used.*strategy='frozen'"):
            model.fit(TEXTS, LABELS)
    head = LogisticHeadCV([0.1, 1.0], cv=3, scoring="neg_log_loss")
    model = TransferClassifier(encoder, head, strategy="frozen").fit(TEXTS, LABELS)
    assert model.head_.best_score_ == head.fit(encoder.transform(TEXTS), LABELS).best_score_


def test_auto_with_few_labels_uses_an_encoder_that_can_be_tuned_as_it_is():
    X = np.random.RandomState(0).randn(8, 4).astype(np.float32)
    encoder = AutoencoderEncoder((3,), 2, max_iter=2, random_state=0).fit(X)
    few = TransferClassifier(encoder).fit(X[:6], [0, 1] * 3)
    assert few.strategy_ == "frozen"
    assert set(few.strategy_scores_["strategy"]) == {"frozen", "scratch"}
    assert "finetune" in TransferClassifier(encoder, cv=2).fit(X, [0, 1] * 4).strategy_scores_["strategy"]


def test_any_classifier_is_a_head_of_features(encoder):
    model = TransferClassifier(encoder, LinearSVC()).fit(TEXTS, LABELS)
    assert set(model.strategy_scores_["strategy"]) == {"frozen", "scratch"}
    assert isinstance(model.head_, LinearSVC)


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "finetune"])
def test_several_labels_a_row(encoder, strategy):
    y = np.stack([LABELS == "pet", (LABELS == "sky") | (LABELS == "pet")], axis=1).astype(int)
    model = TransferClassifier(encoder, strategy=strategy, cv=3).fit(TEXTS, y)
    expected = np.stack([TEST_LABELS == "pet", (TEST_LABELS == "sky") | (TEST_LABELS == "pet")], axis=1)
    assert model.predict(TEST_TEXTS).shape == (300, 2)
    assert (model.predict(TEST_TEXTS) == expected).mean() > 0.9


@pytest.mark.parametrize("strategy", ["term_vectors", "frozen", "finetune", "scratch"])
def test_rows_without_weight_do_not_count(encoder, strategy):
    weights = np.ones(len(TEXTS))
    weights[-6:] = 0
    wrong = [*LABELS[:-6], *np.roll(LABELS[-6:], 1)]
    folds = [(np.arange(9), np.arange(9, 18)), (np.arange(9, 18), np.arange(9))]
    parameters = {"strategy": strategy, "cv": folds}
    right = TransferClassifier(encoder, **parameters).fit(TEXTS, LABELS, sample_weight=weights)
    model = TransferClassifier(encoder, **parameters).fit(TEXTS, wrong, sample_weight=weights)
    np.testing.assert_allclose(model.predict_proba(TEST_TEXTS), right.predict_proba(TEST_TEXTS), atol=1e-4)


def test_groups_reach_the_splitter(encoder):
    groups = np.arange(len(TEXTS)) // 6
    model = TransferClassifier(encoder, cv=GroupKFold(2)).fit(TEXTS, LABELS, groups=groups)
    assert model.score(TEST_TEXTS, TEST_LABELS) > 0.9
    with pytest.raises(ValueError, match="groups"):
        TransferClassifier(encoder, cv=GroupKFold(2)).fit(TEXTS, LABELS)


def test_scoring_is_what_strategies_are_compared_by(encoder):
    model = TransferClassifier(encoder, scoring="neg_log_loss").fit(TEXTS, LABELS)
    assert (model.strategy_scores_["mean"] < 0).all()


def test_one_label_a_class_follows_the_stated_rule(encoder):
    texts, labels = ["cat dog", "stock bond"], ["pet", "money"]
    model = TransferClassifier(encoder).fit(texts, labels)
    table = model.strategy_scores_
    prior = table["strategy"] == "term_vectors"
    assert set(table["alpha"][prior]) == {0.5, 1, 2}
    assert set(table["C"][prior]) == {10}
    np.testing.assert_allclose(table["weight"][prior], 1 / 6)
    assert np.isnan(table["mean"]).all()


def test_second_fit_forgets_the_first(encoder):
    model = TransferClassifier(encoder).fit(TEXTS, LABELS)
    model.set_params(strategy="frozen").fit(TEXTS[:12], LABELS[:12])
    assert model.strategy_ == "frozen"
    assert model.label_coef_ is None
    fresh = TransferClassifier(encoder, strategy="frozen").fit(TEXTS[:12], LABELS[:12])
    np.testing.assert_allclose(model.predict_proba(TEXTS), fresh.predict_proba(TEXTS), rtol=1e-5)


@pytest.mark.parametrize("strategy", ["term_vectors", "finetune"])
def test_saved_and_loaded_predicts_the_same(encoder, strategy, tmp_path):
    model = TransferClassifier(encoder, strategy=strategy, cv=2).fit(TEXTS, LABELS)
    transferkit.save(encoder, tmp_path / "encoder.tk")
    transferkit.save(model, tmp_path / "model.tk")
    joblib.dump(model, tmp_path / "model.joblib")
    expected = model.predict_proba(TEST_TEXTS)
    for loaded in (transferkit.load(tmp_path / "model.tk"), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_allclose(loaded.predict_proba(TEST_TEXTS), expected, rtol=1e-6)
    from_path = TransferClassifier(tmp_path / "encoder.tk", strategy=strategy, cv=2).fit(TEXTS, LABELS)
    np.testing.assert_allclose(from_path.predict_proba(TEST_TEXTS), expected, rtol=1e-3, atol=1e-4)


def test_file_of_a_prior_model_does_not_hold_the_vectors(tmp_path):
    big = WordVectorEncoder(24, min_count=1).fit(UNLABELLED)
    model = TransferClassifier(big, strategy="term_vectors").fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "model.tk")
    assert "WordVectorEncoder" not in str(transferkit.describe(tmp_path / "model.tk").estimators)


def test_prior_is_explained_in_two_parts(encoder):
    model = TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS)
    text = "the cat and the milk of a zebra"
    explanation = explain(model, text)
    np.testing.assert_allclose(explanation.decision, model.decision_function([text])[0], atol=1e-5)
    unseen = [term for term in SUBJECTS["pet"] if not any(term in known.split() for known in TEXTS)]
    known = explain(model, " ".join(SUBJECTS["pet"]))
    for term, whole, passed_on in zip(known.terms, known.contributions, known.from_pretraining, strict=True):
        if term in unseen:
            np.testing.assert_allclose(whole, passed_on)
    np.testing.assert_allclose(known.from_labels + known.from_pretraining, known.contributions)
    assert np.abs(known.from_pretraining).max() > 0


def test_works_in_clone_and_union(encoder):
    copy = clone(TransferClassifier(encoder, strategy="term_vectors"))
    assert copy.encoder is encoder
    assert copy.fit(TEXTS, LABELS).strategy_ == "term_vectors"
    from sklearn.pipeline import make_union

    union = make_union(TfidfEncoder().fit(UNLABELLED), encoder)
    model = TransferClassifier(PretrainedEncoder(union), strategy="term_vectors").fit(TEXTS, LABELS)
    np.testing.assert_allclose(
        model.predict_proba(TEXTS),
        TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS).predict_proba(TEXTS),
    )


def test_same_seed_same_model(encoder):
    first, second = (TransferClassifier(encoder).fit(TEXTS, LABELS) for _ in range(2))
    np.testing.assert_array_equal(first.head_.coef_, second.head_.coef_)


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({"strategy": "magic"}, TEXTS, "must be a str among .*'finetune'"),
        (
            {"strategy": "term_vectors", "head": LinearSVC()},
            TEXTS,
            "strategy='term_vectors' trains logistic regression",
        ),
        ({"strategy": "finetune", "head": LinearSVC()}, TEXTS, "strategy='finetune' trains a linear layer"),
        ({"strategy": "term_vectors", "encoder": "tfidf"}, TEXTS, "Got TfidfEncoder. Use strategy='frozen'"),
        ({"strategy": "finetune", "encoder": "tfidf"}, TEXTS, "Got TfidfEncoder.* Use strategy="),
        ({"strategy": "term_vectors"}, np.ones((24, 2)), "needs texts, but X holds numbers"),
        ({"cv": 1}, TEXTS, "The 'cv' parameter of TransferClassifier"),
        ({"scoring": "nonsense"}, TEXTS, "The 'scoring' parameter of TransferClassifier"),
        ({"encoder_learning_rate": -1}, TEXTS, "The 'encoder_learning_rate' parameter"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(encoder, parameters, X, message):
    model = TransferClassifier(**{"encoder": encoder, **parameters})
    if model.encoder == "tfidf":
        model.encoder = TfidfEncoder().fit(TEXTS)
    with pytest.raises(ValueError, match=message):
        model.fit(X, LABELS)
    assert not hasattr(model, "head_")
    assert not hasattr(model, "strategy_")


def test_sparse_indicators_are_taken(encoder):
    y = sparse.csr_matrix(np.stack([LABELS == "pet", LABELS != "pet"], axis=1).astype(int))
    assert TransferClassifier(encoder, strategy="term_vectors", cv=2).fit(TEXTS, y).predict(TEXTS).shape == (24, 2)


ONE_LETTER_TEXTS, ONE_LETTER_LABELS = ["我 书", "好 书"] * 3, [0, 1] * 3


def split_at_spaces(text):
    yield from text.split()


def make_splitting_encoders():
    """Return encoders that find words of one letter, each in its own way."""
    words = {"min_count": 1, "n_components": 2}
    return {
        "token_pattern": WordVectorEncoder(token_pattern=r"\S+", **words),
        "tokenizer": WordVectorEncoder(tokenizer=split_at_spaces, token_pattern=None, **words),
        "tokenizer of TF-IDF": TfidfEncoder(tokenizer=split_at_spaces, token_pattern=None),
        "analyzer of characters": LSAEncoder(2, min_df=1, analyzer="char", ngram_range=(1, 2)),
        "analyzer": LSAEncoder(2, min_df=1, analyzer=str.split),
        "scikit-learn's": TfidfVectorizer(token_pattern=r"\S+", dtype=np.float32),
        "in a union": FeatureUnion([("words", TfidfEncoder(token_pattern=r"\S+"))]),
        "in a pipeline": make_pipeline(TfidfEncoder(token_pattern=r"\S+"), FunctionTransformer(accept_sparse=True)),
    }


@pytest.mark.parametrize("name", make_splitting_encoders())
@pytest.mark.parametrize("strategy", ["auto", "scratch"])
@pytest.mark.parametrize("wrap", [lambda fitted: fitted, PretrainedEncoder])
def test_baseline_splits_texts_as_the_encoder_does(name, strategy, wrap):
    encoder = wrap(make_splitting_encoders()[name].fit(ONE_LETTER_TEXTS))
    model = TransferClassifier(encoder, LogisticHead(), strategy=strategy, cv=3)
    assert model.fit(ONE_LETTER_TEXTS, ONE_LETTER_LABELS).score(ONE_LETTER_TEXTS, ONE_LETTER_LABELS) == 1


def test_baseline_splits_texts_as_an_encoder_in_a_file_does(tmp_path):
    transferkit.save(make_splitting_encoders()["token_pattern"].fit(ONE_LETTER_TEXTS), tmp_path / "words.tk")
    model = TransferClassifier(tmp_path / "words.tk", LogisticHead(), strategy="scratch")
    assert model.fit(ONE_LETTER_TEXTS, ONE_LETTER_LABELS).encoder_.token_pattern == r"\S+"


def test_baseline_normalises_texts_as_the_encoder_does():
    texts = ["Tür rot", "tur blau"] * 3
    encoder = TfidfEncoder(lowercase=False, strip_accents="unicode", ngram_range=(1, 2), stop_words=["rot"]).fit(texts)
    baseline = TransferClassifier(encoder, LogisticHead(), strategy="scratch").fit(texts, [0, 1] * 3).encoder_
    assert sorted(baseline.vocabulary_) == ["Tur", "blau", "rot", "tur"]  # neither pairs nor stop words of the encoder


class OnlyPattern(BaseEstimator):
    def __init__(self, token_pattern=r"\S+"):
        self.token_pattern = token_pattern


def test_baseline_takes_over_what_an_encoder_of_the_users_has():
    settings = find_text_settings(OnlyPattern())
    assert settings == {**find_text_settings(TfidfEncoder()), "token_pattern": r"\S+"}


def test_baseline_of_an_encoder_without_text_parameters_has_the_defaults():
    assert find_text_settings(PCA()) == {}
    assert find_text_settings(None) == {}
