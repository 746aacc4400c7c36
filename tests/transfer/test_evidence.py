"""What a classifier learns beside labels: from descriptions of the classes, unlabelled texts, and a teacher."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import transferkit
from transferkit import LSAEncoder, PretrainedEncoder, TfidfEncoder, TransferClassifier, WordVectorEncoder, explain
from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.transfer import _given_evidence
from transferkit.transfer._evaluation import ClassificationTask
from transferkit.transfer.strategies import _evidence
from transferkit.transfer.strategies._candidates import read_settings

TOPICS = ("animal", "music", "weather")
DESCRIPTIONS = {topic: f"{topic}0 {topic}1" for topic in TOPICS}


def make_texts(n_texts, seed, shares=(1 / 3, 1 / 3, 1 / 3)):
    """Return texts with words of one topic each among words of all, and the topics."""
    rng = np.random.default_rng(seed)
    topics = rng.choice(TOPICS, n_texts, p=shares)
    texts = []
    for topic in topics:
        of_topic = [f"{topic}{number}" for number in rng.integers(0, 40, 6)]
        texts.append(" ".join(rng.permutation([*of_topic, *(f"word{number}" for number in rng.integers(0, 40, 10))])))
    return texts, topics


UNLABELLED, _ = make_texts(600, 0)
TEXTS, LABELS = make_texts(300, 1)
TEST, TRUTH = make_texts(400, 2)


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(n_components=20, min_count=2).fit(UNLABELLED)


def first_per_class(n_per_class, labels=LABELS):
    return np.concatenate([np.flatnonzero(labels == topic)[:n_per_class] for topic in TOPICS])


def make_classifier(encoder, **parameters):
    """Return a classifier that compares few candidates."""
    parameters = {"strategy": "term_vectors"} | parameters
    head = None if parameters["strategy"] == "frozen" else LogisticHeadCV(Cs=(1.0, 10.0), tol=1e-3)
    return TransferClassifier(encoder, head, cv=2, **parameters)


def fit_few(encoder, n_per_class, X_unlabelled=None, **parameters):
    few = first_per_class(n_per_class)
    model = make_classifier(encoder, **parameters)
    return model.fit([TEXTS[i] for i in few], LABELS[few], X_unlabelled=X_unlabelled)


def share_of_evidence(model):
    table = model.strategy_scores_
    return float(table["weight"][table["evidence"] != ""].sum())


@pytest.mark.parametrize("kind", ["word vectors", "lsa", "tfidf", "pipeline"])
def test_descriptions_classify_without_any_label(kind, encoder):
    encoders = {
        "word vectors": lambda: encoder,
        "lsa": lambda: LSAEncoder(20).fit(UNLABELLED),
        "tfidf": lambda: TfidfEncoder().fit(UNLABELLED),
        "pipeline": lambda: make_pipeline(LSAEncoder(20), PCA(15, random_state=0)).fit(UNLABELLED),
    }
    model = TransferClassifier(encoders[kind](), class_descriptions=DESCRIPTIONS).fit([], [], X_unlabelled=UNLABELLED)
    assert model.score(TEST, TRUTH) > 0.9
    assert model.classes_.tolist() == sorted(TOPICS)
    assert model.strategy_ == ("frozen" if kind in ("tfidf", "pipeline") else "term_vectors")
    assert model.strategy_scores_["evidence"].tolist() == ["descriptions + unlabelled"]


def test_two_classes_are_described_as_well(encoder):
    two = {topic: DESCRIPTIONS[topic] for topic in TOPICS[:2]}
    model = TransferClassifier(encoder, class_descriptions=two).fit([], [], X_unlabelled=UNLABELLED)
    known = np.isin(TRUTH, TOPICS[:2])
    assert model.score([text for text, is_known in zip(TEST, known, strict=True) if is_known], TRUTH[known]) > 0.9
    assert model.head_.coef_.shape[0] == 1


def test_labels_can_be_their_own_descriptions():
    texts = [text.replace("0 ", " ") for text in UNLABELLED]  # "animal0" becomes "animal"
    encoder = WordVectorEncoder(n_components=20, min_count=2).fit(texts)
    few = first_per_class(1)
    model = TransferClassifier(encoder, class_descriptions="labels")
    model.fit([TEXTS[i] for i in few], LABELS[few], X_unlabelled=texts)
    assert model.score(TEST, TRUTH) > 0.9


@pytest.mark.parametrize("n_per_class", [1, 2, 6])
def test_few_labels_and_evidence_beat_few_labels(n_per_class, encoder):
    alone = fit_few(encoder, n_per_class).score(TEST, TRUTH)
    described = fit_few(encoder, n_per_class, class_descriptions=DESCRIPTIONS)
    both = fit_few(encoder, n_per_class, UNLABELLED, class_descriptions=DESCRIPTIONS)
    assert described.score(TEST, TRUTH) >= alone - 0.01
    assert both.score(TEST, TRUTH) >= max(alone, 0.9) - 0.01


def test_the_table_shows_every_source_and_none(encoder):
    model = fit_few(encoder, 8, UNLABELLED, class_descriptions=DESCRIPTIONS, teacher=ask_topics)
    table = model.strategy_scores_
    sources = {"", "descriptions", "teacher", "descriptions + teacher + unlabelled"}
    assert set(table["evidence"]) == sources
    assert table["weight"].sum() == pytest.approx(1)
    assert np.isnan(table["evidence_factor"][table["evidence"] == ""]).all()


@pytest.mark.parametrize("strategy", ["term_vectors", "frozen"])
def test_misleading_evidence_gets_less_weight_and_does_no_harm(strategy, encoder):
    swapped = dict(zip(TOPICS, [DESCRIPTIONS[topic] for topic in np.roll(TOPICS, 1)], strict=True))
    plain = fit_few(encoder, 12, strategy=strategy)
    right = fit_few(encoder, 12, class_descriptions=DESCRIPTIONS, strategy=strategy)
    wrong = fit_few(encoder, 12, class_descriptions=swapped, strategy=strategy)
    assert share_of_evidence(wrong) < share_of_evidence(right)
    assert wrong.score(TEST, TRUTH) >= plain.score(TEST, TRUTH) - 0.01


def test_few_labels_trust_estimated_proportions_less():
    assert _evidence._strength(np.array([2, 2])) > 4 * _evidence._strength(np.array([64, 64]))


def test_without_folds_the_discriminant_of_unlabelled_rows_is_the_model(encoder):
    model = fit_few(encoder, 2, UNLABELLED)
    assert model.strategy_scores_["weight"].tolist() == [1]
    np.testing.assert_allclose(model.head_.coef_, model.evidence_coef_)
    assert model.label_coef_ is None


def test_folds_do_not_learn_from_their_own_labels(encoder):
    rows = np.arange(60)
    folds = [(rows[20:], rows[:20]), (rows[:40], rows[40:])]
    given = {"scoring": None, "class_weight": None, "sample_weight": None, "groups": None, "random_state": 0}
    evidence = _evidence.Evidence(np.array(TOPICS), None, UNLABELLED, None, None, True)

    def learn(y):
        task = ClassificationTask(TransferClassifier(), y, cv=folds, **given)
        features = encoder.transform(TEXTS[:60])
        return _evidence.make_evidence(evidence, encoder.transform, features, task, read_settings(None, "cpu"))[-1]

    changed = np.concatenate([np.roll(LABELS[:20], 1), LABELS[20:60]])
    before, after = learn(LABELS[:60]).models, learn(changed).models
    np.testing.assert_allclose(after[0][0], before[0][0], atol=1e-3)  # the fold that holds these rows out
    assert abs(after[1][0] - before[1][0]).max() > 0.1
    assert abs(after[2][0] - before[2][0]).max() > 0.1  # of all rows


def ask_topics(texts):
    """Return what a teacher that counts the words of each topic would say."""
    counts = np.array([[text.count(topic) + 0.1 for topic in sorted(TOPICS)] for text in texts])
    return counts / counts.sum(1, keepdims=True)


@pytest.mark.parametrize("kind", ["callable", "classifier", "file"])
def test_a_teacher_replaces_labels(kind, encoder, tmp_path):
    teacher = ask_topics
    if kind != "callable":
        teacher = make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, LABELS)
    if kind == "file":
        transferkit.save(teacher, tmp_path / "teacher.tk")
        teacher = tmp_path / "teacher.tk"
    model = TransferClassifier(encoder, teacher=teacher)
    if kind == "callable":
        few = first_per_class(1)
        model.fit([TEXTS[i] for i in few], LABELS[few], X_unlabelled=UNLABELLED)
    else:
        model.fit([], [], X_unlabelled=UNLABELLED)
    assert model.score(TEST, TRUTH) > 0.9


def test_the_file_of_a_student_does_not_hold_the_teacher(encoder, tmp_path):
    teacher = make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, LABELS)
    model = fit_few(encoder, 8, UNLABELLED, teacher=teacher, class_descriptions=DESCRIPTIONS)
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    assert loaded.teacher is None
    assert loaded.class_descriptions == DESCRIPTIONS
    np.testing.assert_allclose(loaded.predict_proba(TEST), model.predict_proba(TEST), atol=1e-6)
    assert clone(model).teacher is teacher
    assert "teacher__memory" not in model.get_params()


def test_class_prior_moves_the_intercepts(encoder):
    prior = {"animal": 0.5, "music": 0.3, "weather": 0.2}
    plain, moved = fit_few(encoder, 8), fit_few(encoder, 8, class_prior=prior)
    shift = moved.head_.intercept_ - plain.head_.intercept_
    np.testing.assert_allclose(shift, np.log(3 * np.array(list(prior.values()))), atol=1e-5)
    np.testing.assert_array_equal(moved.head_.coef_, plain.head_.coef_)


def test_class_prior_helps_where_labels_are_balanced_and_texts_are_not(encoder):
    shares = (0.9, 0.05, 0.05)
    texts, truth = make_texts(400, 3, shares)
    few = [" ".join(TEXTS[i].split()[:3]) for i in first_per_class(2)]  # little to go by
    fitted = [
        TransferClassifier(encoder, class_prior=prior).fit(few, LABELS[first_per_class(2)], X_unlabelled=texts)
        for prior in (None, dict(zip(TOPICS, shares, strict=True)))
    ]
    scores = [model.score(texts, truth) for model in fitted]
    assert scores[1] > scores[0]


def test_rows_of_numbers_can_be_unlabelled_too():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1000)
    X = (rng.normal(size=(1000, 10)) + 1.2 * y[:, None]).astype(np.float32)
    encoder = PCA(5).fit(X[:500])
    few = np.concatenate([np.flatnonzero(y == 0)[:2], np.flatnonzero(y == 1)[:2]])
    model = TransferClassifier(encoder).fit(X[few], y[few], X_unlabelled=X[:500])
    assert model.score(X[500:], y[500:]) > 0.9
    with pytest.raises(ValueError, match="X holds numbers, and X_unlabelled texts"):
        TransferClassifier(encoder).fit(X[few], y[few], X_unlabelled=["some", "texts"])


def test_features_far_from_the_origin_keep_their_digits():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = rng.normal(size=(600, 4)) + 2.0 * y[:, None]
    few = np.concatenate([np.flatnonzero(y == 0)[:2], np.flatnonzero(y == 1)[:2]])
    scores = []
    for rows in (X, X + 1e7):
        encoder = FunctionTransformer().fit(rows)
        model = TransferClassifier(PretrainedEncoder(encoder)).fit(rows[few], y[few], X_unlabelled=rows)
        scores.append(model.score(rows, y))
    assert scores[0] > 0.95
    assert scores[1] == pytest.approx(scores[0], abs=0.01)


def test_the_explanation_has_a_part_from_evidence(encoder):
    model = TransferClassifier(encoder, class_descriptions=DESCRIPTIONS).fit([], [], X_unlabelled=UNLABELLED)
    found = explain(model, "animal5 word1")
    np.testing.assert_allclose(found.from_evidence, found.contributions, atol=1e-5)
    model = fit_few(encoder, 8, UNLABELLED, class_descriptions=DESCRIPTIONS)
    found = explain(model, TEXTS[0])
    parts = found.from_evidence + found.from_pretraining + found.from_labels
    np.testing.assert_allclose(parts, found.contributions, atol=1e-4)
    assert abs(found.from_evidence).max() > 0
    assert "from evidence" in found.to_html()


def test_unlabelled_texts_are_routed_by_a_search(encoder):
    with config_context(enable_metadata_routing=True):
        model = make_classifier(encoder, class_descriptions=DESCRIPTIONS).set_fit_request(X_unlabelled=True)
        search = GridSearchCV(model, {"random_state": [0]}, cv=2)
        search.fit(TEXTS[:30], LABELS[:30], X_unlabelled=UNLABELLED)
    assert share_of_evidence(search.best_estimator_) > 0


def test_many_unlabelled_rows_are_sampled(encoder, monkeypatch):
    monkeypatch.setattr(_given_evidence, "MOST_UNLABELLED", 50)
    seen = []

    def teacher(texts):
        seen.append(len(texts))
        return ask_topics(texts)

    fit_few(encoder, 2, UNLABELLED, teacher=teacher)
    assert seen == [50]


def test_wide_features_are_reduced(monkeypatch):
    encoder = TfidfEncoder(dense=False) if "dense" in TfidfEncoder().get_params() else TfidfEncoder()
    monkeypatch.setattr(_evidence, "N_COMPONENTS", 15)
    model = TransferClassifier(encoder.fit(UNLABELLED), class_descriptions=DESCRIPTIONS)
    model.fit([], [], X_unlabelled=UNLABELLED)
    assert np.linalg.matrix_rank(model.head_.coef_) <= 3
    assert model.score(TEST, TRUTH) > 0.8


BAD = {
    "unknown labels": ({"class_descriptions": DESCRIPTIONS | {"food": "bread"}}, "Not among the labels: 'food'"),
    "some labels": ({"class_descriptions": {"animal": "animal0"}}, "Not described: 'music', 'weather'"),
    "unknown words": (
        {"class_descriptions": DESCRIPTIONS | {"music": "xylophone"}},
        "knows no word of the description of the class 'music'",
    ),
    "empty": ({"class_descriptions": DESCRIPTIONS | {"music": [" "]}}, "must be a text or a list of texts"),
    "no text": ({"class_descriptions": DESCRIPTIONS | {"music": 3}}, "must be a text or a list of texts"),
    "labels unknown": ({"class_descriptions": "labels"}, "knows no word"),
    "prior": ({"class_prior": [0.5, 0.4, 0.2]}, "must sum to one"),
    "prior of others": ({"class_prior": {"animal": 1.0}}, "one entry per label"),
    "prior of zero": ({"class_prior": [0.0, 0.5, 0.5]}, "positive share"),
    "teacher of one": ({"teacher": lambda texts: np.ones((len(texts), 1))}, "one column per label"),
    "teacher not finite": ({"teacher": lambda texts: np.full((len(texts), 3), np.nan)}, "contains NaN"),
    "teacher sums": ({"teacher": lambda texts: np.ones((len(texts), 3))}, "must sum to one"),
    "scratch": ({"strategy": "scratch", "class_descriptions": DESCRIPTIONS}, "does not use this"),
    "head": ({"strategy": "frozen", "head": LogisticHead(), "class_prior": [0.3, 0.3, 0.4]}, "Leave the head out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_evidence_is_refused(case, encoder):
    parameters, message = BAD[case]
    model = TransferClassifier(encoder, **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXTS[:60], LABELS[:60], X_unlabelled=UNLABELLED)
    assert not hasattr(model, "head_")


@pytest.mark.parametrize(
    ("labels", "prior"),
    [
        (LABELS[:60], [0.3, 0.3, 0.4]),
        (np.arange(60) % 2, {0: 0.5, 1: 0.5}),
        (np.arange(60) % 2, dict.fromkeys([0, 1, "animal", "music", "weather"], 0.2)),
    ],
    ids=["known classes", "new classes", "all classes"],
)
def test_class_prior_with_a_source_is_refused_as_such(encoder, labels, prior):
    source = TransferClassifier(encoder, strategy="frozen").fit(TEXTS[:60], LABELS[:60])
    with pytest.raises(ValueError, match=r"^class_prior cannot be combined with a source\. Leave one of them out\.$"):
        TransferClassifier(encoder, source=source, class_prior=prior).fit(TEXTS[:60], labels)


def test_a_teacher_of_other_classes_is_named(encoder):
    teacher = make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS[:60], np.arange(60) % 2)
    with pytest.raises(ValueError, match=r"other classes than the labels: \[0, 1\] instead of"):
        TransferClassifier(encoder, teacher=teacher).fit(TEXTS[:60], LABELS[:60], X_unlabelled=UNLABELLED)


def test_a_teacher_needs_unlabelled_rows(encoder):
    with pytest.raises(ValueError, match="A teacher labels unlabelled rows"):
        TransferClassifier(encoder, teacher=ask_topics).fit(TEXTS[:60], LABELS[:60])


@pytest.mark.parametrize("descriptions", [None, "labels"])
def test_no_labels_need_descriptions_of_the_classes(descriptions, encoder):
    with pytest.raises(ValueError, match="Without labelled rows the classes must be known"):
        TransferClassifier(encoder, class_descriptions=descriptions).fit([], [], X_unlabelled=UNLABELLED)


def test_no_labels_need_unlabelled_texts(encoder):
    with pytest.raises(ValueError, match="Without labelled rows fit needs unlabelled ones"):
        TransferClassifier(encoder, class_descriptions=DESCRIPTIONS).fit([], [])


def test_labels_and_texts_must_both_be_missing(encoder):
    with pytest.raises(ValueError, match="y"):
        TransferClassifier(encoder, class_descriptions=DESCRIPTIONS).fit(["a text"], [], X_unlabelled=UNLABELLED)


def test_encoder_that_is_not_fitted_is_fitted_to_the_unlabelled_texts():
    unfitted = LSAEncoder(5)
    for X, y in ((TEXTS, LABELS), ([], [])):
        model = TransferClassifier(unfitted, class_descriptions=DESCRIPTIONS).fit(X, y, X_unlabelled=iter(UNLABELLED))
        expected = TransferClassifier(LSAEncoder(5).fit(UNLABELLED), class_descriptions=DESCRIPTIONS)
        expected.fit(X, y, X_unlabelled=UNLABELLED)
        np.testing.assert_allclose(model.predict_proba(TEXTS), expected.predict_proba(TEXTS))
        assert model.encoder is unfitted
        assert "transfer" in model.summary_["text"]
        assert clone(model).fit(X, y, X_unlabelled=UNLABELLED).strategy_ == expected.strategy_
    assert not hasattr(unfitted, "components_")
    with pytest.raises(ValueError, match="X and X_unlabelled must be of one kind"):
        TransferClassifier(unfitted).fit(TEXTS, LABELS, X_unlabelled=np.eye(3))
    with pytest.raises(ValueError, match="need a pretrained encoder"):
        TransferClassifier(SelectKBest(k=1)).fit(np.eye(6), [0, 1] * 3, X_unlabelled=np.eye(6))


def test_evidence_needs_a_pretrained_encoder_and_one_label_per_row(encoder):
    with pytest.raises(ValueError, match="need a pretrained encoder"):
        TransferClassifier(WordVectorEncoder(), class_descriptions=DESCRIPTIONS).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="only for one label per row"):
        TransferClassifier(encoder).fit(TEXTS, np.eye(3, dtype=int)[np.arange(300) % 3], X_unlabelled=UNLABELLED)
