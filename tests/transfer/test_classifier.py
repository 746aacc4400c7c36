"""Encoder and head as one estimator on raw input."""

import pickle
import re

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

import transferkit
from transferkit import (
    DomainTransferClassifier,
    LogisticHead,
    LSAEncoder,
    MultiTaskTransfer,
    PretrainedEncoder,
    RidgeHead,
    TfidfEncoder,
    TransferClassifier,
    TransferRegressor,
)

UNLABELLED = [f"the {animal} {verb}" for animal in ("cat", "dog", "cow") for verb in ("sat", "ran", "ate")] + [
    f"the {paper} {verb}" for paper in ("stock", "bond", "fund") for verb in ("rose", "fell", "paid")
]
TEXTS = ["the cat sat", "a dog ran", "the stock rose", "a bond fell", "cow ate", "the fund paid"]
LABELS = ["pet", "pet", "money", "money", "pet", "money"]


@pytest.fixture(scope="module")
def encoder():
    return LSAEncoder(4).fit(UNLABELLED)


def test_frozen_is_the_encoder_followed_by_the_head(encoder):
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS, LABELS)
    head = LogisticHead().fit(encoder.transform(TEXTS), LABELS)
    np.testing.assert_allclose(model.predict_proba(TEXTS), head.predict_proba(encoder.transform(TEXTS)), rtol=1e-6)
    assert model.classes_.tolist() == ["money", "pet"]
    assert model.score(TEXTS, LABELS) == 1


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "frozen"])
def test_words_without_labels_are_understood_through_pretraining(strategy):
    encoder = LSAEncoder(2).fit(UNLABELLED)
    few = TransferClassifier(encoder, strategy=strategy).fit(["the cat sat", "the stock rose"], ["pet", "money"])
    assert few.predict(["dog ate", "bond fell"]).tolist() == ["pet", "money"]


def test_scratch_knows_the_labelled_texts_alone(encoder):
    model = TransferClassifier(encoder, LogisticHead(), strategy="scratch").fit(TEXTS, LABELS)
    tfidf = TfidfEncoder(sublinear_tf=True).fit(TEXTS)
    assert model.encoder_.vocabulary_ == tfidf.vocabulary_
    head = LogisticHead().fit(tfidf.transform(TEXTS), LABELS)
    np.testing.assert_allclose(
        model.decision_function(TEXTS), head.decision_function(tfidf.transform(TEXTS)), rtol=1e-5
    )


def test_unfitted_encoder_is_cloned_and_fitted_on_the_rows():
    encoder = make_union(TfidfEncoder(), LSAEncoder(2))
    with pytest.warns(UserWarning, match="not pretrained but fitted to the 6 labelled .*encoder='english'"):
        model = TransferClassifier(encoder).fit(TEXTS, LABELS)
    assert not hasattr(encoder.transformer_list[0][1], "idf_")
    assert model.encoder_ is not encoder
    assert model.predict(TEXTS).tolist() == LABELS


@pytest.mark.filterwarnings("ignore:The encoder was not pretrained:UserWarning")
@pytest.mark.parametrize("head", [LinearSVC(), MultinomialNB(), make_pipeline(PCA(1), LogisticRegression())])
def test_any_classifier_is_a_head(head):
    encoder = PCA(2) if not isinstance(head, MultinomialNB) else TfidfEncoder()
    X = TEXTS if isinstance(head, MultinomialNB) else np.random.RandomState(0).rand(6, 3)
    model = TransferClassifier(encoder, head).fit(X, LABELS)
    assert model.head_ is not head
    for method in ("predict_proba", "decision_function"):
        assert hasattr(model, method) == hasattr(TransferClassifier(encoder, head), method) == hasattr(head, method)


def test_rows_of_numbers_are_raw_input_too():
    X, y = load_digits(return_X_y=True)
    pca = PCA(20, random_state=0).fit(X)  # all rows, no labels
    for rows in (X, sparse.csr_matrix(X)):
        scratch = TransferClassifier(strategy="scratch").fit(rows[:300], y[:300])
        assert scratch.score(rows[300:], y[300:]) > 0.85
    model = TransferClassifier(pca, strategy="frozen").fit(X[:300], y[:300])
    assert model.n_features_in_ == 64
    assert model.score(X[300:], y[300:]) > 0.85


def test_search_reaches_the_head_and_keeps_the_encoder(encoder):
    search = GridSearchCV(TransferClassifier(encoder), {"head": [LogisticHead()], "head__C": [0.1, 10.0]}, cv=3)
    search.fit(TEXTS, LABELS)
    assert search.best_estimator_.encoder is encoder
    assert search.best_params_["head__C"] == search.best_estimator_.head_.C
    search = GridSearchCV(TransferClassifier(encoder), {"head__C": [0.1, 10.0]}, cv=3)  # head=None is LogisticHead()
    assert search.fit(TEXTS, LABELS).predict(["the cat"]).tolist() == ["pet"]


def test_search_compares_encoders_and_strategies(encoder, tmp_path):
    transferkit.save(encoder, tmp_path / "encoder.tk")
    grid = {
        "encoder": [PretrainedEncoder(encoder), str(tmp_path / "encoder.tk"), TfidfEncoder()],
        "strategy": ["frozen", "scratch"],
    }
    search = GridSearchCV(TransferClassifier(), grid, cv=3, error_score="raise").fit(TEXTS, LABELS)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[2]  # the same encoder, from memory and from its file
    assert scores[1] == scores[3] == scores[5]  # from scratch, whatever the encoder


def test_cross_validation_is_that_of_the_features(encoder):
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen")
    scores = cross_val_score(model, TEXTS, LABELS, cv=3)
    expected = cross_val_score(LogisticHead(), encoder.transform(TEXTS), LABELS, cv=3)
    np.testing.assert_allclose(scores, expected)


def test_clone_keeps_a_fitted_encoder_and_forgets_the_rest(encoder):
    model = TransferClassifier(encoder, LogisticHead(C=3)).fit(TEXTS, LABELS)
    cloned = clone(model)
    assert cloned.encoder is encoder
    assert cloned.head is not model.head
    assert cloned.head.C == 3
    with pytest.raises(NotFittedError, match="not fitted"):
        cloned.predict(TEXTS)
    unfitted = TransferClassifier(TfidfEncoder(min_df=2))
    assert clone(unfitted).encoder is not unfitted.encoder
    assert clone(unfitted).encoder.min_df == 2


def test_parameters_inside_a_frozen_encoder_cannot_be_set(encoder):
    with pytest.raises(ValueError, match="'encoder__min_df' cannot be set: the encoder is pretrained"):
        TransferClassifier(encoder).set_params(encoder__min_df=3)
    assert encoder.min_df == 2
    assert TransferClassifier(TfidfEncoder()).set_params(encoder__min_df=3).encoder.min_df == 3


def test_second_fit_forgets_the_first(encoder):
    model = TransferClassifier(encoder).fit(TEXTS, LABELS).fit(TEXTS[:4], [3, 3, 4, 4])
    assert model.classes_.tolist() == [3, 4]
    fresh = TransferClassifier(encoder).fit(TEXTS[:4], [3, 3, 4, 4])
    np.testing.assert_allclose(model.predict_proba(TEXTS), fresh.predict_proba(TEXTS), rtol=1e-6)


def test_weights_of_rows_reach_the_head(encoder):
    weights = np.array([1, 1, 1, 1, 0, 0.0])
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS, LABELS, sample_weight=weights)
    head = LogisticHead().fit(encoder.transform(TEXTS), LABELS, sample_weight=weights)
    np.testing.assert_allclose(model.predict_proba(TEXTS), head.predict_proba(encoder.transform(TEXTS)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["list", "tuple", "numpy", "numpy object", "pandas", "polars"])
def test_collections_of_texts_are_the_same_to_it(kind, encoder):
    make = {
        "list": list,
        "tuple": tuple,
        "numpy": np.array,
        "numpy object": lambda texts: np.array(texts, dtype=object),
        "pandas": lambda texts: pytest.importorskip("pandas").Series(texts, index=range(5, 5 + len(texts))),
        "polars": lambda texts: pytest.importorskip("polars").Series(texts),
    }[kind]
    model = TransferClassifier(encoder).fit(make(TEXTS), make(LABELS))
    expected = TransferClassifier(encoder).fit(TEXTS, LABELS).predict_proba(TEXTS)
    np.testing.assert_allclose(model.predict_proba(make(TEXTS)), expected, rtol=1e-6)


def test_pickle_and_joblib_files_predict_the_same(encoder, tmp_path):
    model = TransferClassifier(encoder).fit(TEXTS, LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    for loaded in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize("kind", [TransferClassifier, DomainTransferClassifier])
def test_model_that_holds_it_as_a_parameter_is_saved(kind, by_path, encoder, tmp_path):
    transferkit.save(encoder, tmp_path / "encoder.tk")
    inner = kind(tmp_path / "encoder.tk" if by_path else encoder)
    model = CalibratedClassifierCV(TransferClassifier(encoder, strategy="frozen"), cv=2).fit(TEXTS, LABELS)
    model.estimator = inner
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert loaded.estimator.encoder.transform(TEXTS).shape == (6, encoder.transform(TEXTS).shape[1])


def test_frozen_encoder_may_be_given_as_one(encoder):
    model = TransferClassifier(PretrainedEncoder(encoder, cache_size=3), strategy="frozen").fit(TEXTS, LABELS)
    assert model.encoder_.cache_size == 3


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, LABELS[:5], "same length: one label for each row. Got 6 rows and 5 labels"),
        (TEXTS, ["pet"] * 6, "labels of at least 2 classes.* Got 1 class: .*pet"),
        (["a", None, "b"], [0, 1, 0], r"The text at position 1 is missing \(None\)"),
        (["a", "b", float("nan")], [0, 1, 0], r"The text at position 2 is missing \(nan\)"),
        ("the cat sat", ["pet"], "got one bare str"),
        ([], [], "at least one text, got an empty list"),
        (TEXTS, [*LABELS[:3], None, *LABELS[4:]], "The label at position 3 is missing"),
        (TEXTS, [0.5, 1.5, 2.5, 0.1, 0.2, 0.3], "Unknown label type"),
        (np.array([[text] for text in TEXTS]), LABELS, r"1-D collection of texts, got ndarray of shape \(6, 1\)"),
    ],
)
def test_bad_rows_and_labels_are_named(X, y, message, encoder):
    model = TransferClassifier(encoder)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "head_")


def test_missing_value_of_pandas_is_named(encoder):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="The text at position 1 is missing"):
        TransferClassifier(encoder).fit(pandas.Series(["a", None, "b"], dtype="string"), [0, 1, 0])


def test_number_among_texts_is_named(encoder):
    with pytest.raises(TypeError, match=r"The text at position 1 must be a str. Got 3 \(int\) instead"):
        TransferClassifier(encoder).fit(["a", 3], [0, 1])


def test_failed_fit_keeps_the_last_one(encoder):
    model = TransferClassifier(encoder).fit(TEXTS, LABELS)
    expected = model.predict_proba(TEXTS)
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(TEXTS, ["pet"] * 6)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), expected)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strategy": "magic"}, "The 'strategy' parameter of TransferClassifier must be a str among"),
        ({"encoder": 3}, "The 'encoder' parameter of TransferClassifier must be"),
        ({"head": "svm", "strategy": "scratch"}, "The 'head' parameter of TransferClassifier must be"),
        ({"head": LogisticHead(C=-1), "strategy": "scratch"}, "The 'C' parameter of LogisticHead must be a float"),
        ({"encoder": "nowhere.tk"}, r"There is no model file 'nowhere.tk'\.$"),
        ({"encoder": "owner/model"}, r"no model file 'owner/model'. If .* use SentenceEncoder\('owner/model'\)"),
        ({"encoder": LSAEncoder}, r"Got the class LSAEncoder: give an instance, LSAEncoder\(...\).fit\(unlabelled\)"),
        ({"encoder": LogisticHead()}, r"Give it as head: TransferClassifier\(encoder, head=LogisticHead\(...\)\)"),
        ({"encoder": make_pipeline(PCA(), RidgeHead())}, r"Leave out its last step, the RidgeHead: encoder=pip"),
        ({"encoder": TransferClassifier()}, "Give its encoder, model.encoder_ .* or the model itself as source"),
        ({"encoder": MultiTaskTransfer()}, "Got a MultiTaskTransfer, which predicts. Give one that has transform"),
        ({"head": RidgeHead(), "strategy": "scratch"}, "must be a classifier. Got the regressor RidgeHead: use Transf"),
        ({"head": make_pipeline(PCA(), RidgeHead()), "strategy": "scratch"}, "must be a classifier. Got the regressor"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        TransferClassifier(**parameters).fit(TEXTS, LABELS)


@pytest.mark.parametrize("estimator", [TransferClassifier, TransferRegressor, DomainTransferClassifier])
def test_bad_encoders_are_named_in_folds_too(estimator):
    with pytest.raises(ValueError, match=r"The 'encoder' parameter of .* must be"):
        cross_val_score(estimator(["the cat sat"]), TEXTS, LABELS, cv=2, error_score="raise")


def test_repr_and_tags_work_before_fit(encoder):
    assert "TransferClassifier" in repr(TransferClassifier(encoder))
    assert TransferClassifier(encoder).__sklearn_tags__().input_tags.string
    assert not TransferClassifier(PCA()).__sklearn_tags__().input_tags.string


@pytest.mark.parametrize("kind", [TransferClassifier, TransferRegressor, PretrainedEncoder])
def test_a_diagram_needs_no_file(kind):
    assert "nowhere.tk" in kind("/nowhere.tk")._repr_html_()
    assert kind("/nowhere.tk").__sklearn_tags__().input_tags.string


def labels_in_diagram(estimator):
    return re.findall(r'<div><div>([^<]*)</div>(?:<div class="caption">([^<]*)</div>)?', estimator._repr_html_())


def test_a_diagram_shows_a_path_and_the_strategy_that_was_chosen(encoder, tmp_path):
    transferkit.save(encoder, tmp_path / "encoder.tk")
    path = str(tmp_path / "encoder.tk")
    model = TransferClassifier(path, LogisticHead())
    shown = [name for name, _ in labels_in_diagram(model)]
    assert shown == ["TransferClassifier", "encoder", path, "head: LogisticHead", "LogisticHead"]
    model = model.fit(TEXTS, LABELS)
    assert [name for name, _ in labels_in_diagram(model)] == [*shown, "strategy", model.strategy_]
    assert [name for name, _ in labels_in_diagram(TransferClassifier())] == ["TransferClassifier"]
    assert ("PretrainedEncoder", path) in labels_in_diagram(make_pipeline(PretrainedEncoder(path), LogisticHead()))
    assert "source: " in labels_in_diagram(PretrainedEncoder(encoder))[1][0]


def test_a_diagram_needs_no_file_of_a_source():
    assert "nowhere.tk" in TransferClassifier(source="/nowhere.tk")._repr_html_()


def test_arrow_arrays_are_collections_of_texts(encoder):
    arrow = pytest.importorskip("pyarrow")
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen")
    expected = model.fit(TEXTS, LABELS).predict_proba(TEXTS)
    for texts in (arrow.array(TEXTS), arrow.chunked_array([TEXTS[:2], TEXTS[2:]]), arrow.table({"t": TEXTS})["t"]):
        np.testing.assert_array_equal(model.fit(texts, LABELS).predict_proba(texts), expected)
    with pytest.raises(ValueError, match="The text at position 1 is missing"):
        model.fit(arrow.chunked_array([["a"], [None]]), [0, 1])
