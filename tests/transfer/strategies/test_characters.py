"""N-grams of characters beside words: when they are tried, and models that have both."""

import pickle
import time

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union

import transferkit
from transferkit import (
    LogisticHead,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
    explain,
    to_sklearn,
    top_terms,
)
from transferkit.compression import prune
from transferkit.encoders.term_union import split_terms
from transferkit.transfer import MultiTaskTransfer

STEMS = {"card": "kard", "money": "monet", "place": "plats"}
ENDINGS = [a + b for a in "aeiouy" for b in "lmnrstvz"]


def make_texts(n, seed, noise=3):
    """Return texts with one word each that says the class, by its stem, and the classes."""
    rng = np.random.RandomState(seed)
    labels = np.array([list(STEMS)[i % 3] for i in range(n)])
    texts = []
    for label in labels:
        others = ["".join(rng.choice(list("abcdefghijkl"), 5)) for _ in range(noise)]
        texts.append(" ".join([STEMS[label] + rng.choice(ENDINGS), *others]))
    return texts, labels


TEXTS, LABELS = make_texts(60, 0)
NEW, NEW_LABELS = make_texts(200, 1)


@pytest.fixture(scope="module")
def encoder():
    rng = np.random.RandomState(5)
    topics = [["kard", "bank", "loan", "fee"], ["monet", "coin", "cash", "note"], ["plats", "town", "road", "hill"]]
    texts = [" ".join(rng.choice(topics[i % 3], 3)) for i in range(120)]
    return WordVectorEncoder(4, min_count=1).fit(texts)


@pytest.fixture(scope="module", params=["scratch", "term_vectors"])
def model(request, encoder):
    return TransferClassifier(encoder, strategy=request.param).fit(TEXTS, LABELS)


def test_parts_of_words_are_learned(model):
    words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)).fit(TEXTS, LABELS)
    assert split_terms(model.encoder_) is not None
    assert model.score(NEW, NEW_LABELS) > words.score(NEW, NEW_LABELS) + 0.2
    table = model.strategy_scores_
    assert set(table["terms"]) == {"words", "words + characters"}
    assert table["weight"][table["terms"] == "words + characters"].sum() > 0.8
    assert table["weight"].sum() == pytest.approx(1)


def test_scratch_with_one_candidate_is_logistic_regression_on_both_kinds_of_terms(monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._candidates.CS", (10.0,))
    model = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)
    share = model.strategy_scores_["weight"].tolist()
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    both = make_union(TfidfVectorizer(sublinear_tf=True), characters)
    head = LogisticRegression(C=10, tol=1e-8, max_iter=10_000)
    expected = 0
    for weight, encoder in zip(share, (TfidfVectorizer(sublinear_tf=True), both), strict=True):
        expected = expected + weight * make_pipeline(encoder, head).fit(TEXTS, LABELS).decision_function(NEW)
    np.testing.assert_allclose(model.decision_function(NEW), expected, atol=1e-2)


def test_words_are_kept_alone_where_characters_do_harm(monkeypatch):
    def count_letters(words, texts):  # as many numbers as letters, all larger than those of words
        return TfidfEncoder(analyzer="char", ngram_range=(3, 3), norm=None).fit(texts)

    monkeypatch.setattr("transferkit.transfer.strategies._scratch.fit_characters", count_letters)
    rng = np.random.RandomState(0)
    names, labels = np.array(["abcab", "bcabc", "cabca"]), np.arange(300) % 3
    texts = [" ".join([names[i], *("".join(rng.choice(list("abc"), 5)) for _ in range(8))]) for i in labels]
    model = TransferClassifier(strategy="scratch").fit(texts, names[labels])
    table = model.strategy_scores_
    assert type(model.encoder_) is TfidfEncoder
    assert model.head_.coef_.shape[1] == len(model.encoder_.idf_)
    assert table["weight"][table["terms"] == "words + characters"].sum() == 0
    assert table["weight"].sum() == pytest.approx(1)


@pytest.mark.parametrize("strategy", ["scratch", "term_vectors"])
def test_without_held_out_labels_characters_are_not_tried(encoder, strategy):
    model = TransferClassifier(encoder, strategy=strategy).fit(TEXTS[:6], LABELS[:6])
    assert type(model.encoder_) is TfidfEncoder


def test_a_given_head_is_trained_on_words_as_it_is():
    model = TransferClassifier(None, LogisticHead(), strategy="scratch").fit(TEXTS, LABELS)
    assert type(model.encoder_) is TfidfEncoder


def test_characters_at_the_best_C_of_words_and_near_it_are_tried(monkeypatch):
    Cs = tuple(10.0**k for k in range(-6, 4))
    monkeypatch.setattr("transferkit.transfer.strategies._candidates.CS", Cs)
    table = TransferClassifier(strategy="scratch").fit(*make_texts(240, 2)).strategy_scores_
    tried = table["C"][table["terms"] == "words + characters"]
    assert 2 <= len(tried) < len(Cs)
    words = table["terms"] == "words"
    assert tried[0] == table["C"][words][table["log_loss"][words].argmin()]


def test_labels_of_several_kinds_and_weights_of_rows():
    many = np.stack([label == LABELS for label in STEMS], axis=1).astype(int)
    model = TransferClassifier(strategy="scratch").fit(TEXTS, many, sample_weight=1 + np.arange(60) % 2)
    assert split_terms(model.encoder_) is not None
    expected = np.stack([label == NEW_LABELS for label in STEMS], axis=1)
    assert (model.predict(NEW) == expected).mean() > 0.85
    two = LABELS != "place"
    binary = TransferClassifier(strategy="scratch").fit(np.array(TEXTS)[two], LABELS[two])
    assert binary.head_.coef_.shape[0] == 1
    kept = NEW_LABELS != "place"
    assert binary.score(np.array(NEW)[kept], NEW_LABELS[kept]) > 0.85


def test_files_and_pickles_hold_both_encoders(model, tmp_path):
    transferkit.save(model, tmp_path / "model.tk")
    for loaded in (transferkit.load(tmp_path / "model.tk"), pickle.loads(pickle.dumps(model))):
        assert type(loaded.encoder_) is FeatureUnion
        np.testing.assert_array_equal(loaded.predict_proba(NEW), model.predict_proba(NEW))
    assert len(model.predict(text for text in NEW[:5])) == 5  # read once


def test_explanations_add_up_and_locate_both_kinds_of_terms(model):
    text = NEW[0]
    explanation = explain(model, text)
    np.testing.assert_allclose(explanation.decision, model.decision_function([text])[0], atol=1e-4)
    found = {explanation.terms[term]: text[start:end] for start, end, term in explanation.spans}
    stem = STEMS[NEW_LABELS[0]]
    assert found[stem[:3]] == stem[:3]
    assert all(part in text for part in found.values())
    seen = next(text for text in TEXTS)
    assert seen.split()[0] in {explain(model, seen).terms[term] for *_, term in explain(model, seen).spans}
    best = {label: [term for term, _ in terms] for label, terms in top_terms(model, n=8).items()}
    assert all(any(term.strip() in stem for term in best[label]) for label, stem in STEMS.items())


def test_exported_models_and_compressed_heads_count_both(model):
    exported = to_sklearn(model)
    assert [type(step).__module__.split(".")[0] for step in exported] == ["sklearn", "sklearn"]
    np.testing.assert_allclose(exported.predict_proba(NEW), model.predict_proba(NEW), atol=1e-5)
    pruned = prune(model.head_, 0.5)
    assert np.mean(pruned.predict(model.encoder_.transform(NEW)) == NEW_LABELS) > model.score(NEW, NEW_LABELS) - 0.1


def test_onnx_graphs_count_both(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    make_inputs = transferkit.to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    [probabilities] = session.run(["probabilities"], make_inputs([*NEW, "", "ka", "ka ka"]))
    np.testing.assert_allclose(probabilities, model.predict_proba([*NEW, "", "ka", "ka ka"]), atol=1e-5)


@pytest.mark.parametrize("strategy", ["scratch", "term_vectors"])
def test_tasks_predict_what_they_did_before_they_were_saved(encoder, strategy, tmp_path):
    labels = {"class": LABELS, "has d": np.array(["d" in text for text in TEXTS]), "few": LABELS[:6]}
    texts = {"class": TEXTS, "has d": TEXTS, "few": TEXTS[:6]}
    tasks = MultiTaskTransfer(TransferClassifier(encoder, strategy=strategy)).fit(texts, labels)
    probabilities = tasks.predict_proba(NEW)
    assert np.mean(tasks.predict(NEW)["class"] == NEW_LABELS) > 0.85
    encoders = {id(one.encoder_) for one in tasks.models_.values()}
    assert len(encoders) == (1 if strategy == "term_vectors" else 2)  # all have the columns of all terms, or their own
    tasks.save_tasks(tmp_path)
    for task, found in MultiTaskTransfer.load_tasks(tmp_path).predict_proba(NEW).items():
        np.testing.assert_array_equal(found, probabilities[task])


def test_characters_are_learned_from_labels_and_vectors_do_not_change_them(encoder):
    model = TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS)
    n_words = len(split_terms(model.encoder_)[0].idf_)
    assert model.label_coef_.shape == model.head_.coef_.shape
    np.testing.assert_array_equal(model.label_coef_[:, n_words:].toarray(), model.head_.coef_[:, n_words:])
    explanation = explain(model, NEW[0])
    ends = np.array([" " in term for term in explanation.terms])  # which no word has
    assert ends.any()
    assert np.abs(explanation.from_pretraining[ends]).max() < 1e-6
    assert np.abs(explanation.from_labels[ends]).max() > 1e-3


@pytest.mark.parametrize("joint_rows", [100, 600])
def test_characters_are_tried_near_the_best_candidate_of_words_and_without_transfer(encoder, joint_rows, monkeypatch):
    monkeypatch.setattr("transferkit.transfer.strategies._term_vectors.MOST_JOINT_ROWS", joint_rows)
    model = TransferClassifier(encoder, strategy="term_vectors").fit(*make_texts(300, 7, noise=5))
    table = model.strategy_scores_
    both = np.char.endswith(table["terms"], " + characters")
    best = table["log_loss"][~both].argmin()
    assert set(table["alpha"][both]) == {0.0, table["alpha"][~both][best]}
    assert table["C"][both][0] == table["C"][~both][best]
    assert set(table["idf"][both]) == {table["idf"][~both][best]}
    assert model.score(NEW, NEW_LABELS) > 0.9


def test_characters_replace_words_alone_only_if_the_loss_is_clearly_lower(encoder, monkeypatch):
    table = TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS).strategy_scores_
    both = np.char.endswith(table["terms"], " + characters")
    difference = table["log_loss"][~both].min() - table["log_loss"][both].min()
    for negligible, is_union in ((1e-3, True), (np.exp(-len(TEXTS) * difference * 0.26), False)):
        monkeypatch.setattr("transferkit.transfer.strategies._average.NEGLIGIBLE_WEIGHT", negligible)
        model = TransferClassifier(encoder, strategy="term_vectors").fit(TEXTS, LABELS)
        assert (split_terms(model.encoder_) is not None) == is_union


def test_evidence_and_characters_add_up(encoder):
    descriptions = {"card": "bank", "money": "coin", "place": "town"}
    model = TransferClassifier(encoder, strategy="term_vectors", class_descriptions=descriptions).fit(TEXTS, LABELS)
    both = np.char.endswith(model.strategy_scores_["terms"], " + characters")
    assert both.any()
    assert model.score(NEW, NEW_LABELS) > 0.85
    explanation = explain(model, NEW[0])
    np.testing.assert_allclose(explanation.decision, model.decision_function(NEW[:1])[0], atol=1e-4)


def test_a_source_with_both_gets_columns_for_new_terms(model):
    texts, labels = make_texts(30, 3)
    texts = [f"{text} {'zebra' if label == 'card' else 'quagga'}" for text, label in zip(texts, labels, strict=True)]
    new = TransferClassifier(source=model).fit(texts, labels)
    words, characters = split_terms(new.encoder_)
    assert {"zebra", *split_terms(model.encoder_)[0].get_feature_names_out()} <= set(words.get_feature_names_out())
    assert {" zeb", *split_terms(model.encoder_)[1].get_feature_names_out()} <= set(characters.get_feature_names_out())
    assert new.strategy_ == "transfer"
    assert new.score(NEW, NEW_LABELS) > 0.9
    start = TransferClassifier(head=LogisticHead(C=1e-6), source=model).fit(texts, labels)
    for kind, known, wider in zip(range(2), split_terms(model.encoder_), split_terms(start.encoder_), strict=True):
        n_known, n_wider = (len(split_terms(one.encoder_)[0].idf_) for one in (model, start))
        weights = (model.head_.coef_[:, :n_known], model.head_.coef_[:, n_known:])[kind]
        found = (start.head_.coef_[:, :n_wider], start.head_.coef_[:, n_wider:])[kind]
        places = wider.vocabulary_
        columns = [places[term] for term in known.get_feature_names_out()]
        np.testing.assert_allclose(found[:, columns], weights, atol=1e-4)
        assert np.abs(np.delete(found, columns, axis=1)).max() < 1e-4


def test_weights_of_words_reach_an_encoder_of_words():
    words = TfidfEncoder(sublinear_tf=True).fit(TEXTS)
    model = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)
    new = TransferClassifier(words, LogisticHead(C=1e-6), source=model).fit(TEXTS[:30], LABELS[:30])
    n_words = len(words.idf_)
    np.testing.assert_allclose(new.head_.coef_, model.head_.coef_[:, :n_words], atol=1e-3)


def test_one_text_takes_less_time_than_in_feature_union(model):
    def measure(function):
        best = np.inf
        for _ in range(30):
            began = time.perf_counter()
            function([NEW[0]])
            best = min(best, time.perf_counter() - began)
        return best

    assert measure(model.predict_proba) < 2 * measure(model.encoder_.transform)
