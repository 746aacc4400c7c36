"""WordVectorEncoder.distil: a student of another encoder, alone or beside other vectors, which needs no teacher."""

import pickle
from itertools import product

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

import transferkit
from transferkit import (
    LSAEncoder,
    PretrainedEncoder,
    SentenceEncoder,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
    explain,
)
from transferkit.export import to_sklearn

ANIMALS, VERBS = ["cats", "dogs", "birds", "cows", "hens", "mice"], ["eat", "like", "see", "fear", "find"]
FOOD = ["fish", "meat", "seeds", "grass"]
TEXTS = [" ".join(words) for words in product(ANIMALS, VERBS, FOOD)]
OTHER = ["cats fear dogs", "mice like seeds", "cows find grass", "birds see mice", "hens eat seeds"] * 20


class Letters:
    """A teacher without training: embeddings are counts of letters, far from the origin."""

    def __init__(self, letters="abcdefghi"):
        self.letters, self.calls = letters, []

    def transform(self, X):
        self.calls.append(list(X))
        return np.array([[100 + 3 * text.count(letter) for letter in self.letters] for text in X])


@pytest.fixture(scope="module")
def student():
    return WordVectorEncoder.distil(Letters(), TEXTS)


@pytest.fixture(scope="module")
def trained():
    return WordVectorEncoder(3, min_count=1).fit([*TEXTS, "horses eat hay", "horses like hay"])


def test_vectors_are_those_of_a_ridge_regression(student):
    teacher = Letters()
    WordVectorEncoder.distil(teacher, TEXTS)
    (learned, held_out) = teacher.calls
    assert sorted(learned + held_out) == sorted(TEXTS)
    assert student.n_held_out_ == len(held_out) == 6
    tfidf = TfidfVectorizer(sublinear_tf=True, vocabulary=list(student.vocabulary_)).fit(TEXTS)
    S, T = tfidf.transform(learned).toarray(), teacher.transform(learned)
    expected = np.linalg.solve(S.T @ S + np.eye(S.shape[1]), S.T @ (T - T.mean(axis=0)))
    np.testing.assert_allclose(student.vectors_, expected, atol=0.02)
    found, wanted = tfidf.transform(held_out) @ student.vectors_, teacher.transform(held_out) - T.mean(axis=0)
    cosines = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert student.fidelity_ == pytest.approx(cosines.mean(), abs=1e-5)
    assert student.fidelity_ > 0.95
    np.testing.assert_allclose(student.idf_, tfidf.idf_, rtol=1e-6)
    # Embeddings of texts have the same directions, as each word occurs once in a text.
    assert ((student.transform(held_out) * wanted).sum(axis=1) / np.linalg.norm(wanted, axis=1)).mean() > 0.95


def test_encoder_that_is_linear_in_the_same_terms_is_recovered():
    lsa = LSAEncoder(5, sublinear_tf=True).fit(TEXTS)
    assert WordVectorEncoder.distil(lsa, TEXTS, ridge=1e-4, tol=1e-6).fidelity_ > 0.99


@pytest.mark.parametrize(
    "make_teacher",
    [
        lambda: SentenceEncoder(type("Model", (), {"encode": lambda self, texts: Letters().transform(texts)})()),
        lambda: make_pipeline(TfidfVectorizer(), TruncatedSVD(4)).fit(TEXTS),
        lambda: PretrainedEncoder(LSAEncoder(4).fit(TEXTS)),
        lambda: WordVectorEncoder(4, min_count=1).fit([*TEXTS, *OTHER]),
    ],
    ids=["sentence model", "pipeline", "frozen", "word vectors"],
)
def test_any_encoder_of_texts_can_be_the_teacher(make_teacher):
    assert WordVectorEncoder.distil(make_teacher(), TEXTS, ridge=0.1).fidelity_ > 0.5


def test_order_copies_and_batches_do_not_matter(student):
    mixed = WordVectorEncoder.distil(Letters(), TEXTS[::-1], batch_size=7)
    order = [mixed.vocabulary_[word] for word in student.vocabulary_]
    np.testing.assert_allclose(mixed.vectors_[order], student.vectors_, atol=1e-3)
    assert mixed.fidelity_ == pytest.approx(student.fidelity_, abs=1e-4)
    teacher = Letters()
    copies = WordVectorEncoder.distil(teacher, TEXTS * 2, ridge=2.0)  # twice the texts, twice the ridge
    held_out = teacher.calls[-1]
    assert copies.n_held_out_ == student.n_held_out_ == len(set(held_out))
    assert not set(held_out) & {text for call in teacher.calls[:-1] for text in call}
    np.testing.assert_allclose(copies.vectors_[[copies.vocabulary_[w] for w in student.vocabulary_]] @ np.ones(9),
                               student.vectors_ @ np.ones(9), atol=0.2)  # fmt: skip


def test_stream_of_texts_is_read_once(student):
    streamed = WordVectorEncoder.distil(Letters(), iter(TEXTS))
    np.testing.assert_array_equal(streamed.vectors_, student.vectors_)


def test_vectors_are_in_the_units_of_the_teacher(student):
    class Scaled(Letters):
        def transform(self, X):
            return 1e-3 * super().transform(X)

    np.testing.assert_allclose(WordVectorEncoder.distil(Scaled(), TEXTS).vectors_, 1e-3 * student.vectors_, atol=1e-5)


def test_held_out_texts_are_a_share_up_to_a_thousand():
    many = [f"{a} {b} {c}" for a in range(10, 40) for b in range(10, 40) for c in range(10, 15)]
    teacher = Letters("123")
    found = WordVectorEncoder.distil(teacher, many, validation_fraction=0.5, batch_size=5000)
    assert found.n_held_out_ == 1000
    assert [len(call) for call in teacher.calls] == [3500, 1000]
    assert WordVectorEncoder.distil(Letters(), TEXTS, validation_fraction=0.25).n_held_out_ == 30
    assert WordVectorEncoder.distil(Letters(), TEXTS, validation_fraction=1e-3).n_held_out_ == 1


def test_words_as_texts_bring_rare_words_close_to_the_teacher():
    texts = [*TEXTS, "zebras eat fish"]
    teacher = Letters("abcdefghijklmnopqrstuvwxyz")
    plain, taught = (
        WordVectorEncoder.distil(teacher, texts, encode_words=encode_words) for encode_words in (False, True)
    )
    words = list(taught.vocabulary_)
    assert sorted(teacher.calls[-2]) == sorted(words)
    wanted = teacher.transform(words)
    wanted = wanted - wanted.mean(axis=0)
    similarity = [np.corrcoef(e.transform(["zebras"])[0], wanted[words.index("zebras")])[0, 1] for e in (plain, taught)]
    assert similarity[1] > similarity[0]


def test_vectors_beside_are_kept_and_the_others_have_their_mean_square(trained):
    both = WordVectorEncoder.distil(Letters(), [*TEXTS, "ducks eat fish"], beside=trained)
    alone = WordVectorEncoder.distil(Letters(), [*TEXTS, "ducks eat fish"])
    known, new = both.vectors_[:, :3], both.vectors_[:, 3:]
    assert list(both.vocabulary_) == [*trained.vocabulary_, "ducks"]
    np.testing.assert_array_equal(known[:-1], trained.vectors_)
    assert not known[-1].any()
    rows = [both.vocabulary_[word] for word in alone.vocabulary_]
    factor = np.linalg.norm(new) / np.linalg.norm(alone.vectors_)
    np.testing.assert_allclose(new[rows], factor * alone.vectors_, rtol=1e-3, atol=1e-3)
    assert not new[both.vocabulary_["horses"]].any()  # not in the texts
    shared = [row for row in rows if known[row].any()]
    assert (new[shared] ** 2).mean() == pytest.approx((known[shared] ** 2).mean(), rel=1e-4)
    assert both.fidelity_ == pytest.approx(alone.fidelity_, abs=1e-3)
    assert both.transform(["horses eat ducks"]).shape == (1, 12)


def test_texts_are_split_as_the_encoder_beside_splits_them():
    beside = WordVectorEncoder(3, min_count=1, lowercase=False, pooling="sif").fit([text.title() for text in TEXTS])
    both = WordVectorEncoder.distil(Letters(), [text.title() for text in TEXTS], beside=beside)
    assert "Cats" in both.vocabulary_
    assert both.pooling == "sif"
    assert WordVectorEncoder.distil(Letters(), TEXTS, beside=beside, pooling="mean", lowercase=False).pooling == "mean"
    with pytest.raises(ValueError, match=r"as 'beside' of distil splits them. Omit \['lowercase'\]"):
        WordVectorEncoder.distil(Letters(), TEXTS, beside=beside, lowercase=True)


@pytest.mark.parametrize("parameters", [{}, {"pooling": "sif"}, {"subword": True}, {"norm": None}], ids=str)
def test_saved_student_needs_no_teacher(parameters, tmp_path):
    student = WordVectorEncoder.distil(Letters(), TEXTS, **parameters)
    transferkit.save(student, tmp_path / "student.tk")
    for copy in (transferkit.load(tmp_path / "student.tk"), pickle.loads(pickle.dumps(student))):
        np.testing.assert_array_equal(copy.transform(TEXTS), student.transform(TEXTS))
        assert (copy.fidelity_, copy.n_held_out_) == (student.fidelity_, student.n_held_out_)
        assert copy.most_similar("cats") == student.most_similar("cats")
    assert clone(student).get_params() == student.get_params()
    assert student.n_components == 9


def test_student_is_a_prior_that_can_be_explained_and_exported(student, tmp_path):
    texts, labels = TEXTS[::3], ["fish" in text for text in TEXTS[::3]]
    model = TransferClassifier(student, strategy="term_vectors").fit(texts, labels)
    assert model.score(TEXTS, ["fish" in text for text in TEXTS]) > 0.9
    assert explain(model, "cats eat fish")
    frozen = TransferClassifier(student, strategy="frozen").fit(texts, labels)
    np.testing.assert_allclose(to_sklearn(frozen).predict_proba(TEXTS), frozen.predict_proba(TEXTS), atol=1e-5)


def test_student_cannot_be_fitted_further(student, trained):
    message = "is the student of another encoder .* Call WordVectorEncoder.distil with all texts"
    with pytest.raises(ValueError, match=message):
        student.partial_fit(TEXTS)
    with pytest.raises(ValueError, match=message):
        clone(student).partial_fit(TEXTS).merge(student)
    with pytest.raises(ValueError, match=message):
        pickle.loads(pickle.dumps(student)).merge(student)
    assert student.fidelity_  # unchanged


def test_second_fit_forgets_the_teacher():
    student = WordVectorEncoder.distil(Letters(), TEXTS).fit(TEXTS)
    assert not hasattr(student, "fidelity_")
    assert not hasattr(student, "n_held_out_")
    np.testing.assert_array_equal(student.vectors_, clone(student).fit(TEXTS).vectors_)


class Recorder(ProgressBar):
    def __init__(self, most=10**9):
        self.most, self.n_begun, self.n_ended = most, 0, 0

    def setup(self, estimator, context):
        self.n_expected = context.max_subtasks

    def on_fit_task_begin(self, estimator, context, **data):
        self.n_begun += 1

    def on_fit_task_end(self, estimator, context, **data):
        self.n_ended += 1
        return self.n_ended >= self.most

    def teardown(self, estimator, context):
        pass


def test_callbacks_see_each_batch_and_may_stop():
    recorder, teacher = Recorder(), Letters()
    WordVectorEncoder.distil(teacher, TEXTS, batch_size=10, callbacks=[recorder], encode_words=True)
    assert recorder.n_expected == 14  # 114 texts and 15 words
    assert recorder.n_begun == recorder.n_ended == 15  # and the fit
    teacher = Letters()
    stopped = WordVectorEncoder.distil(teacher, TEXTS, batch_size=10, callbacks=[Recorder(most=3)])
    assert [len(call) for call in teacher.calls] == [10, 10, 10, 6]
    assert stopped.vectors_.any()


class Teacher:
    """Returns what a function makes of good embeddings."""

    def __init__(self, change):
        self.change = change

    def transform(self, X):
        return self.change(np.array([[text.count(letter) for letter in "abcdef"] for text in X], float))


def with_nan(rows):
    rows[-1, 0] = np.nan
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_nan, "Teacher returned embeddings with NaN or infinity for 1 of 114 texts, such as '"),
        (lambda rows: rows * 1e300, "NaN or infinity for"),
        (lambda rows: rows[:, 0], r"one row of numbers per text. Teacher returned an array of shape \(114,\)"),
        (lambda rows: rows[:-1], r"of shape \(113, 6\) and type float64 for 114 texts"),
        (lambda rows: rows[:, :0], r"of shape \(114, 0\)"),
        (lambda rows: rows.astype(str), "type <U32"),
        (lambda rows: None, r"of shape \(\) and type object"),
        (lambda rows: sparse.csr_array(rows), "Teacher returns sparse features, from which distil cannot learn"),
        (lambda rows: np.full_like(rows, 0.1), "Teacher returns the same embedding for all texts"),
        (lambda rows: rows[:, : 2 + len(rows) // 100], "embeddings of length 3, then of 2"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_embeddings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        WordVectorEncoder.distil(Teacher(change), TEXTS)


@pytest.mark.parametrize(
    ("teacher", "error", "message"),
    [
        (LSAEncoder(4), NotFittedError, "must be fitted. Got an unfitted LSAEncoder"),
        (make_pipeline(TfidfVectorizer(), TruncatedSVD(4)), NotFittedError, "Got an unfitted Pipeline"),
        ("all-MiniLM-L6-v2", TypeError, "must be a fitted transformer of texts. Got 'all-MiniLM-L6-v2'"),
        (LSAEncoder, TypeError, "must be a fitted transformer of texts. Got <class"),
        (type("Model", (), {"encode": len})(), TypeError, r"Wrap it: SentenceEncoder\(model\)"),
    ],
    ids=["unfitted", "unfitted pipeline", "name", "class", "sentence model"],
)
def test_bad_teachers_are_named(teacher, error, message):
    with pytest.raises(error, match=message):
        WordVectorEncoder.distil(teacher, TEXTS)


def test_a_teacher_with_sparse_features_is_named():
    with pytest.raises(ValueError, match="TfidfEncoder returns sparse features"):
        WordVectorEncoder.distil(TfidfEncoder().fit(TEXTS), TEXTS)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (TEXTS[:19], ValueError, "needs at least 20 different texts. Got 19"),
        (TEXTS[:10] * 10, ValueError, "needs at least 20 different texts. Got 10"),
        ([], ValueError, "Expected at least one text"),
        (np.ones((30, 4)), ValueError, "Expected a 1-D collection of texts"),
        (list(range(30)), TypeError, "The text at position 0 must be a str"),
        ([*TEXTS, None], ValueError, "position 120 is missing"),
        ("one text", ValueError, "one bare str"),
        (["1 2 3 4"] * 30, ValueError, "empty vocabulary"),
    ],
    ids=["few", "copies", "none", "matrix", "numbers", "missing", "bare", "no words"],
)
def test_bad_texts_are_named(texts, error, message):
    with pytest.raises(error, match=message):
        WordVectorEncoder.distil(Letters(), texts)


def test_parameters_choose_the_words():
    texts = [*TEXTS, "zebras eat fish"]
    assert "zebras" not in WordVectorEncoder.distil(Letters(), texts, min_count=2).vocabulary_
    few = WordVectorEncoder.distil(Letters(), texts, max_features=4)
    assert list(few.vocabulary_) == ["fish", "grass", "meat", "seeds"]
    bounded = WordVectorEncoder.distil(Letters(), texts, max_vocabulary=10, stop_words=["fish"], n_jobs=2)
    assert 0 < len(bounded.vocabulary_) <= 10
    assert bounded.vocabulary_error_ > 0
    assert "fish" not in bounded.vocabulary_


def test_outputs_of_scikit_learn_may_be_data_frames():
    teacher = make_pipeline(TfidfVectorizer(), TruncatedSVD(4)).fit(TEXTS)
    plain = WordVectorEncoder.distil(teacher, TEXTS)
    with config_context(transform_output="pandas"):
        np.testing.assert_array_equal(WordVectorEncoder.distil(teacher, TEXTS).vectors_, plain.vectors_)


def test_twenty_texts_are_enough():
    assert WordVectorEncoder.distil(Letters(), TEXTS[:20]).n_held_out_ == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ridge": 0}, ValueError, r"The 'ridge' parameter of distil must be a float in the range \(0.0, inf\)"),
        ({"validation_fraction": 0.6}, ValueError, "The 'validation_fraction' parameter of distil"),
        ({"tol": -1}, ValueError, "The 'tol' parameter of distil"),
        ({"batch_size": 0}, ValueError, "The 'batch_size' parameter of distil"),
        ({"encode_words": "no"}, ValueError, "The 'encode_words' parameter of distil"),
        ({"pooling": "sum"}, ValueError, "The 'pooling' parameter of WordVectorEncoder"),
        ({"colour": 1}, TypeError, "unexpected keyword argument 'colour'"),
        ({"min_count": 1000}, ValueError, "No word occurs min_count=1000 times"),
        ({"beside": LSAEncoder(2)}, TypeError, "The 'beside' argument of distil must be a WordVectorEncoder"),
        ({"beside": WordVectorEncoder()}, NotFittedError, "not fitted"),
        ({"callbacks": [print]}, TypeError, "callbacks must be instances"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        WordVectorEncoder.distil(Letters(), TEXTS, **options)


def test_regression_that_does_not_converge_warns(monkeypatch):
    monkeypatch.setattr("transferkit.encoders.words._distillation.MAX_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="did not reach tol=1e-06 in 1 steps"):
        WordVectorEncoder.distil(Letters(), TEXTS, tol=1e-6)
