"""suggest_labels: typical and uncertain samples, each once, whatever the order of the input."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from transferkit import LSAEncoder, TfidfEncoder, TransferClassifier, WordVectorEncoder, save, suggest_labels
from transferkit.selection import _suggest_labels

SUBJECTS = {
    "pets": ["cat", "dog", "cow", "tail", "fur", "paw"],
    "money": ["stock", "bond", "fund", "price", "share", "yield"],
    "music": ["song", "drum", "flute", "chord", "tune", "choir"],
}


def make_texts(counts, seed=0):
    """Return texts of four words of a subject, and the subjects."""
    rng = np.random.default_rng(seed)
    names = [name for name, count in counts.items() for _ in range(count)]
    order = rng.permutation(len(names))
    texts = [" ".join(rng.choice(SUBJECTS[names[i]], 4, replace=False)) for i in order]
    return texts, np.array(names)[order]


TEXTS, LABELS = make_texts({"pets": 40, "money": 40, "music": 10})


@pytest.fixture(scope="module")
def encoder():
    return LSAEncoder(n_components=8, min_df=1).fit(TEXTS)


@pytest.fixture(scope="module")
def model(encoder):
    """A model that has seen pets and money."""
    rows = [*np.flatnonzero(LABELS == "pets")[:4], *np.flatnonzero(LABELS == "money")[:4]]
    return TransferClassifier(encoder, strategy="frozen").fit([TEXTS[i] for i in rows], LABELS[rows])


@pytest.fixture(scope="module")
def numbers():
    """Three groups of samples, of which the first lies between the others."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [-9, 0], [9, 0]])
    groups = np.repeat([0, 1, 2], 20)
    return centres[groups] + rng.normal(size=(60, 2)), groups


def test_without_a_model_each_subject_has_a_typical_text(encoder):
    found = suggest_labels(TEXTS, 3, encoder=encoder)
    assert set(LABELS[found["index"]]) == set(SUBJECTS)
    assert all(reason.startswith("typical: nearest to ") for reason in found["reason"])
    assert found["share"].sum() == pytest.approx(1, abs=0.05)
    assert np.isnan(found["margin"]).all()
    assert found["share"].argmin() == LABELS[found["index"]].tolist().index("music")


def test_first_suggestions_are_the_same_for_any_number(encoder):
    few, many = (suggest_labels(TEXTS, n, encoder=encoder)["index"].tolist() for n in (3, 12))
    assert many[:3] == few
    assert len(set(many)) == 12


def test_subjects_without_labels_come_first(encoder):
    known = [text for text, label in zip(TEXTS[:30], LABELS[:30], strict=True) if label != "music"]
    found = suggest_labels(TEXTS, 1, encoder=encoder, X_labelled=known)["index"]
    assert LABELS[found[0]] == "music"


def test_labelled_texts_are_not_suggested(encoder):
    known = TEXTS[: len(TEXTS) // 2]
    distinct = set(TEXTS) - set(known)
    found = suggest_labels(TEXTS, len(distinct), encoder=encoder, X_labelled=known)["index"]
    assert sorted(TEXTS[i] for i in found) == sorted(distinct)


def test_a_model_directs_to_what_it_is_uncertain_about(encoder, model):
    found = suggest_labels(TEXTS, 5, encoder=encoder, model=model)
    probabilities = np.sort(model.predict_proba(TEXTS), axis=1)
    margins = probabilities[:, -1] - probabilities[:, -2]
    np.testing.assert_allclose(found["margin"], margins[found["index"]], rtol=1e-6)
    assert found["margin"].mean() < margins.mean()
    assert LABELS[found["index"][0]] == "music"  # which the model has never seen
    assert found["reason"][0].startswith(("uncertain: 'pets' 5", "uncertain: 'money' 5"))


def test_reason_of_a_text_of_which_the_model_is_certain_is_that_it_is_typical(encoder):
    sure = DummyClassifier(strategy="constant", constant="pets").fit(TEXTS, LABELS)
    found = suggest_labels(TEXTS, 3, encoder=encoder, model=sure)
    assert all(r.startswith("typical: nearest to") and r.endswith("model: 'pets' 100 %") for r in found["reason"])
    assert found["index"].tolist() == suggest_labels(TEXTS, 3, encoder=encoder)["index"].tolist()


def test_methods(encoder, model):
    typical = suggest_labels(TEXTS, 5, encoder=encoder, model=model, method="typical")
    uncertain = suggest_labels(TEXTS, 5, encoder=encoder, model=model, method="uncertain")
    assert typical["index"].tolist() == suggest_labels(TEXTS, 5, encoder=encoder)["index"].tolist()
    assert uncertain["index"].tolist() == suggest_labels(TEXTS, 5, encoder=encoder, model=model)["index"].tolist()
    assert typical["index"].tolist() != uncertain["index"].tolist()


@pytest.mark.parametrize("with_model", [False, True])
def test_order_and_copies_of_texts_do_not_matter(with_model, encoder, model, monkeypatch):
    monkeypatch.setattr(_suggest_labels, "MOST_SAMPLED", 40)
    options = {"encoder": encoder, "model": model if with_model else None, "X_labelled": TEXTS[:5]}
    expected = [TEXTS[i] for i in suggest_labels(TEXTS, 6, **options)["index"]]
    others = [TEXTS[i] for i in np.random.default_rng(1).permutation(len(TEXTS))] + TEXTS[20:60]
    assert [others[i] for i in suggest_labels(others, 6, **options)["index"]] == expected


def test_random_state_draws_the_sample(encoder, monkeypatch):
    monkeypatch.setattr(_suggest_labels, "MOST_SAMPLED", 30)
    found = [suggest_labels(TEXTS, 5, encoder=encoder, random_state=seed)["index"].tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_many_suggestions_come_from_several_samples(encoder, monkeypatch):
    monkeypatch.setattr(_suggest_labels, "MOST_SAMPLED", 20)
    monkeypatch.setattr(_suggest_labels, "MOST_AT_ONCE", 10)
    n_distinct = len(set(TEXTS))
    found = suggest_labels(TEXTS, n_distinct, encoder=encoder)
    assert len({TEXTS[i] for i in found["index"]}) == n_distinct
    assert all(len(column) == n_distinct for column in found.values())


def test_later_samples_know_what_was_suggested_before(encoder, monkeypatch):
    monkeypatch.setattr(_suggest_labels, "MOST_AT_ONCE", 1)
    found = suggest_labels(TEXTS, 3, encoder=encoder)["index"]
    assert set(LABELS[found]) == set(SUBJECTS)


def test_near_duplicates_are_not_suggested_together(encoder):
    words = TEXTS[0].split()
    variants = [" ".join(np.random.default_rng(seed).permutation(words)) for seed in range(20)]  # equal embeddings
    found = suggest_labels([*TEXTS[1:], *variants], 20, encoder=encoder)["index"]
    assert sum(i >= len(TEXTS) - 1 for i in found) <= 1
    found = suggest_labels([*TEXTS[1:], *variants], 20, encoder=encoder, X_labelled=[TEXTS[0]])["index"]
    assert (found < len(TEXTS) - 1).all()


def test_texts_of_unknown_words_come_last(encoder):
    texts = ["qqq", *dict.fromkeys(TEXTS[:20]), "zzz", "  ", ""]
    with pytest.warns(UserWarning, match=f"Only {len(texts) - 2} of n={len(texts)}"):
        found = suggest_labels(texts, len(texts), encoder=encoder)
    assert {texts[i] for i in found["index"][-2:]} == {"qqq", "zzz"}
    assert (found["share"][-2:] == 0).all()
    assert all(texts[i].strip() for i in found["index"])


@pytest.mark.parametrize(
    "convert",
    [np.ndarray.tolist, np.asarray, sp.csr_array, sp.coo_matrix, lambda X: pd.DataFrame(X, columns=["a", "b"])],
)
def test_rows_of_numbers(convert, numbers):
    X, groups = convert(numbers[0]), numbers[1]
    found = suggest_labels(X, 3, encoder=None)
    assert set(groups[found["index"]]) == {0, 1, 2}
    assert found["reason"][0].endswith("of the samples")
    found = suggest_labels(X, 3, encoder=FunctionTransformer().fit(X))
    assert set(groups[found["index"]]) == {0, 1, 2}
    known = convert(numbers[0][groups < 2])
    assert set(groups[suggest_labels(X, 5, encoder=None, X_labelled=known)["index"]]) == {2}


@pytest.mark.parametrize("seed", range(4))
def test_groups_on_a_line_are_found(seed):
    X = np.repeat([-9.0, 0.0, 9.0], 20)[:, None] + np.random.default_rng(seed).normal(size=(60, 1))
    found = suggest_labels(X, 3, encoder=None)["index"]
    assert set(found // 20) == {0, 1, 2}


@pytest.mark.parametrize("scale", [1e-100, 1e60])
def test_scale_does_not_matter(scale, numbers):
    X, _ = numbers
    found = suggest_labels(scale * X, 3, encoder=None)["index"]
    assert found.tolist() == suggest_labels(X, 3, encoder=None)["index"].tolist()


def test_labelled_rows_of_another_float_type_are_recognised(numbers):
    X, _ = numbers
    found = suggest_labels(X, 10, encoder=None, X_labelled=X[:3].astype(np.float32))["index"]
    assert set(found).isdisjoint({0, 1, 2})


@pytest.mark.parametrize(
    "classifier", [LogisticRegression(), LinearSVC(), OneVsRestClassifier(LinearSVC()), DecisionTreeClassifier()]
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_any_classifier(classifier, n_classes, numbers):
    X, groups = numbers
    kept = groups < n_classes
    found = suggest_labels(X, 5, encoder=None, model=classifier.fit(X[kept], groups[kept]))
    assert len(set(found["index"])) == 5
    assert ((found["margin"] >= 0) & (found["margin"] <= 1)).all()


def test_decision_values_rank_as_probabilities_do(numbers):
    X, groups = numbers
    model = LogisticRegression().fit(X[groups > 0], groups[groups > 0])

    class Scores:
        classes_, decision_function = model.classes_, model.decision_function

    expected = suggest_labels(X, 5, encoder=None, model=model)
    found = suggest_labels(X, 5, encoder=None, model=Scores())
    assert found["index"].tolist() == expected["index"].tolist()
    np.testing.assert_allclose(found["margin"], expected["margin"], atol=1e-9)
    assert groups[found["index"][0]] == 0  # between the classes


def test_paths_pipelines_and_sparse_features(tmp_path, encoder, model):
    save(encoder, tmp_path / "encoder.tk")
    save(model, tmp_path / "model.tk")
    expected = suggest_labels(TEXTS, 5, encoder=encoder, model=model)["index"].tolist()
    found = suggest_labels(pd.Series(TEXTS), 5, encoder=tmp_path / "encoder.tk", model=tmp_path / "model.tk")
    assert found["index"].tolist() == expected
    pipeline = make_pipeline(TfidfEncoder(), LogisticRegression()).fit(TEXTS, LABELS)
    found = suggest_labels(TEXTS, 5, encoder=pipeline[:-1], model=pipeline)
    assert len(set(found["index"])) == 5


def test_generators_are_texts(encoder):
    expected = suggest_labels(TEXTS, 4, encoder=encoder, X_labelled=TEXTS[:9])["index"].tolist()
    found = suggest_labels((text for text in TEXTS), 4, encoder=encoder, X_labelled=iter(TEXTS[:9]))
    assert found["index"].tolist() == expected


@pytest.mark.parametrize("nothing", [None, [], np.array([]), (), pd.Series([], dtype=object), sp.csr_array((0, 3))])
def test_no_labelled_texts(nothing, encoder):
    expected = suggest_labels(TEXTS, 4, encoder=encoder)["index"].tolist()
    assert suggest_labels(TEXTS, 4, encoder=encoder, X_labelled=nothing)["index"].tolist() == expected


def test_fewer_distinct_texts_than_wanted_warn(encoder):
    with pytest.warns(UserWarning, match=r"Only 2 of n=5 samples .* copies"):
        found = suggest_labels(["the cat", "the dog", "the cat", "the dog", ""], 5, encoder=encoder)
    assert found["index"].tolist() in ([0, 1], [1, 0])
    with pytest.warns(UserWarning, match="Only 1 of n=4"):
        assert suggest_labels(np.ones((4, 2)), 4, encoder=None)["index"].tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"n": 0}, ValueError, "'n' parameter of suggest_labels must be an int in the range"),
        ({"n": 2.5}, ValueError, "'n' parameter"),
        ({"n": 91}, ValueError, "n=91 suggestions .* Got 90"),
        ({"method": "best"}, ValueError, "'method' parameter of suggest_labels must be a str among"),
        ({"method": "uncertain"}, ValueError, "needs a model"),
        ({"X_unlabelled": "a text"}, ValueError, "one bare str"),
        ({"X_unlabelled": [], "n": 1}, ValueError, "at least one text"),
        ({"X_unlabelled": ["a", None]}, ValueError, "position 1 is missing"),
        ({"X_unlabelled": ["a", 5]}, TypeError, "position 1 must be a str"),
        ({"X_labelled": "a text"}, ValueError, "one bare str"),
        ({"X_labelled": np.ones((2, 3))}, ValueError, "X_unlabelled holds texts and X_labelled numeric samples"),
        ({"X_labelled": TEXTS}, ValueError, "No sample is left"),
        ({"encoder": None}, ValueError, "Texts need an encoder"),
        ({"encoder": LSAEncoder()}, NotFittedError, "must be fitted"),
        ({"encoder": "missing.tk"}, ValueError, "no model file"),
        ({"encoder": lambda: StandardScaler().fit(np.ones((2, 2)))}, ValueError, "X_unlabelled cannot be encoded"),
        ({"model": "missing.tk"}, ValueError, "no model file"),
        ({"model": lambda: LinearRegression().fit(np.ones((2, 2)), [0, 1])}, ValueError, "neither predict_proba nor"),
        (
            {"model": lambda: LogisticRegression().fit(np.eye(2), [0, 1])},
            ValueError,
            "LogisticRegression, cannot predict X_unl",
        ),
        ({"model": TransferClassifier(strategy="scratch")}, NotFittedError, "not fitted"),
    ],
)
def test_wrong_input_is_named(changes, error, words, encoder):
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    arguments = {"X_unlabelled": TEXTS, "n": 2, "encoder": encoder} | changes
    with pytest.raises(error, match=words):
        suggest_labels(arguments.pop("X_unlabelled"), arguments.pop("n"), **arguments)


def test_wrong_numbers_are_named(numbers):
    X, groups = numbers
    holes = X.copy()
    holes[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"X_unlabelled cannot be encoded\. .*NaN"):
        suggest_labels(holes, 2, encoder=None)
    with pytest.raises(ValueError, match=r"X_labelled cannot be encoded\. .*NaN"):
        suggest_labels(X, 2, encoder=None, X_labelled=holes[3:4])
    with pytest.raises(ValueError, match=r"cannot predict X_unlabelled\. X has 2 features"):
        suggest_labels(X, 2, encoder=None, model=LogisticRegression().fit(X[:, :1], groups))
    with pytest.raises(ValueError, match=r"X_unlabelled cannot be encoded\. X has 2 features"):
        suggest_labels(X, 2, encoder=PCA(2).fit(np.random.default_rng(0).normal(size=(9, 3))))
    with pytest.raises(ValueError, match="X_unlabelled has 2 features and X_labelled 1"):
        suggest_labels(X, 2, encoder=None, X_labelled=X[:, :1])
    with pytest.raises(ValueError, match="cannot square distances of samples with values as large as "):
        suggest_labels(1e200 * X, 2, encoder=None)
    several = OneVsRestClassifier(LogisticRegression()).fit(X, np.column_stack([groups > 0, groups > 1]))
    with pytest.raises(ValueError, match="multilabel"):
        suggest_labels(X, 2, encoder=None, model=several)


def test_input_is_unchanged(encoder):
    texts = list(TEXTS)
    suggest_labels(texts, 3, encoder=encoder, X_labelled=texts[:2])
    assert texts == TEXTS


def test_word_vectors_find_rare_subjects():
    texts, labels = make_texts({"pets": 200, "money": 200, "music": 8}, seed=3)
    vectors = WordVectorEncoder(n_components=5, min_count=1).fit(texts)
    assert "music" in labels[suggest_labels(texts, 5, encoder=vectors)["index"]]
