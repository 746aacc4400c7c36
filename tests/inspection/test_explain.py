"""explain and top_terms: sums that are the model's decision values, and clear refusals."""

import html.parser

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, RobustScaler, StandardScaler

from transferkit import (
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    MLPHeadClassifier,
    PretrainedEncoder,
    RidgeHead,
    SelectiveClassifier,
    TfidfEncoder,
    TransferClassifier,
    WordVectorEncoder,
    explain,
    save,
    top_terms,
)
from transferkit.compression import prune, quantise

SUBJECTS = {
    "pet": ["cat", "dog", "fur", "paw", "tail"],
    "money": ["stock", "bond", "price", "bank", "loan"],
    "sky": ["star", "moon", "orbit", "planet", "comet"],
}
TEXT = "The cat's tail & the moon: <b>a dog</b> at the BANK, a loan, my cat."


def make_texts(n=60):
    rng = np.random.default_rng(0)
    labels = [list(SUBJECTS)[i % 3] for i in range(n)]
    texts = [" ".join(["the", *rng.choice(SUBJECTS[label], 3), "and", rng.choice(SUBJECTS["pet"])]) for label in labels]
    return texts, labels


TEXTS, LABELS = make_texts()
ENCODERS = {
    "tfidf": TfidfEncoder(),
    "n-grams": TfidfEncoder(ngram_range=(1, 2), stop_words=["the"], sublinear_tf=True),
    "characters": TfidfEncoder(analyzer="char_wb", ngram_range=(2, 4)),
    "lsa": LSAEncoder(4, min_df=1),
    "mean": WordVectorEncoder(4, min_count=1, pooling="mean"),
    "tfidf pooling": WordVectorEncoder(4, min_count=1, norm="l2"),
    "sif": WordVectorEncoder(4, min_count=1, pooling="sif"),
    "union": FeatureUnion([("a", TfidfEncoder()), ("b", LSAEncoder(3, min_df=1))]),
    "scikit-learn": TfidfVectorizer(),
    "selected": make_pipeline(CountVectorizer(), TfidfTransformer(), MaxAbsScaler(), SelectKBest(chi2, k=8)),
    "svd": make_pipeline(TfidfVectorizer(), TruncatedSVD(4), StandardScaler(), Normalizer()),
    "pca": make_pipeline(LSAEncoder(5, min_df=1), RobustScaler(), PCA(3, whiten=True)),
    "nested": make_pipeline(make_pipeline(TfidfEncoder(), Normalizer("l1")), StandardScaler(with_mean=False)),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_contributions_add_up_to_the_decision(name, n_classes):
    chosen = [i for i, label in enumerate(LABELS) if n_classes == 3 or label != "sky"]
    y = [LABELS[i] for i in chosen]
    model = make_pipeline(ENCODERS[name], LogisticRegression()).fit([TEXTS[i] for i in chosen], y)
    for text in (TEXT, "", "unknownword", *TEXTS[:5]):
        explanation = explain(model, text)
        np.testing.assert_allclose(explanation.decision, model.decision_function([text]).ravel(), rtol=1e-5, atol=1e-5)
        assert explanation.contributions.shape == (len(explanation.terms), 3 if n_classes == 3 else 1)
        assert len(set(explanation.terms)) == len(explanation.terms)


@pytest.mark.parametrize("name", ["tfidf", "mean", "union", "scikit-learn", "selected"])
def test_weights_of_terms_are_what_a_text_of_one_term_shows(name):
    encoder = ENCODERS[name]
    model = make_pipeline(encoder, LogisticRegression()).fit(TEXTS, LABELS)
    terms = top_terms(model, n=3)
    assert list(terms) == sorted(SUBJECTS)
    for label, found in terms.items():
        assert {term for term, _ in found} & set(SUBJECTS[label])
        assert [weight for _, weight in found] == sorted((weight for _, weight in found), reverse=True)
    if name in ("tfidf", "mean", "scikit-learn"):  # one term alone is one unit
        term, weight = terms["money"][0]
        assert explain(model, term).top(1, "money")[0] == (term, pytest.approx(weight, rel=1e-5))


def test_top_terms_of_two_classes_are_both_ends():
    model = make_pipeline(TfidfEncoder(), LogisticHead()).fit(
        TEXTS[:60:3] + TEXTS[1:60:3], ["pet"] * 20 + ["money"] * 20
    )
    terms = top_terms(model, n=100)
    assert dict(terms["pet"]) == {term: -weight for term, weight in terms["money"]}
    assert terms["money"][0][0] in SUBJECTS["money"]


@pytest.mark.parametrize("head", [LogisticHead(), LogisticHeadCV(cv=2), LogisticRegression()])
def test_transfer_classifier_search_and_file(head, tmp_path):
    encoder = LSAEncoder(4, min_df=1).fit(TEXTS)
    model = TransferClassifier(encoder, head, strategy="frozen").fit(TEXTS, LABELS)
    save(model, tmp_path / "model.tk")
    search = GridSearchCV(TransferClassifier(PretrainedEncoder(encoder), head, strategy="frozen"), {}, cv=2)
    for fitted in (model, tmp_path / "model.tk", search.fit(TEXTS, LABELS)):
        explanation = explain(fitted, TEXT)
        np.testing.assert_allclose(explanation.decision, model.decision_function([TEXT])[0], atol=1e-4)


@pytest.mark.parametrize("head", [Ridge(), RidgeHead()])
def test_regression(head):
    y = np.array([text.count("a") for text in TEXTS], float)
    model = make_pipeline(TfidfEncoder(), head).fit(TEXTS, y)
    assert explain(model, TEXT).decision[0] == pytest.approx(model.predict([TEXT])[0], abs=1e-5)


def test_models_that_reject_are_explained_as_the_classifier_inside():
    inside = make_pipeline(TfidfEncoder(), LogisticHead())
    model = SelectiveClassifier(inside, coverage=0.9, cv=2).fit(TEXTS, LABELS)
    expected = explain(model.estimator_, TEXT)
    np.testing.assert_array_equal(explain(model, TEXT).contributions, expected.contributions)
    assert top_terms(model, 3) == top_terms(model.estimator_, 3)
    step = make_pipeline(TfidfEncoder(), SelectiveClassifier(LogisticHead(), coverage=0.9, cv=2)).fit(TEXTS, LABELS)
    np.testing.assert_allclose(explain(step, TEXT).contributions, expected.contributions, atol=1e-6)


def test_several_labels_a_row():
    y = np.array([[label == "pet", label != "sky"] for label in LABELS], int)
    model = make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, y)
    explanation = explain(model, TEXT)
    np.testing.assert_allclose(explanation.decision, model.decision_function([TEXT])[0], atol=1e-5)
    assert explanation.labels.tolist() == [0, 1]


def test_terms_are_found_in_the_text():
    model = make_pipeline(TfidfEncoder(ngram_range=(1, 2)), LogisticHead()).fit(TEXTS, LABELS)
    explanation = explain(model, TEXT)
    found = {(TEXT[start:end], explanation.terms[term]) for start, end, term in explanation.spans}
    assert {("cat", "cat"), ("BANK", "bank"), ("dog", "dog"), ("The cat", "the cat")} <= found
    assert {explanation.terms[term] for *_, term in explanation.spans} == set(explanation.terms)


def test_characters_are_found_in_the_text():
    model = make_pipeline(ENCODERS["characters"], LogisticHead()).fit(TEXTS, LABELS)
    explanation = explain(model, "my CAT sat")
    found = {(start, end): explanation.terms[term] for start, end, term in explanation.spans}
    assert found[3, 6] in ("cat", " cat", "cat ")
    assert (8, 10) not in found or found[8, 10] != " at"


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.open = [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", [TEXT, "<script>alert('cat')</script> dog\" onmouseover=\"x", ""])
def test_html_shows_the_text_and_escapes_its_markup(text):
    model = make_pipeline(TfidfEncoder(token_pattern=r"(?u)\b\w+\b"), LogisticHead()).fit(
        [*TEXTS, text], [*LABELS, "pet"]
    )
    reader = _Reader()
    reader.feed(explain(model, text).to_html("pet"))
    assert text in reader.text
    assert not reader.open
    assert set(reader.tags) <= {"div", "p", "b", "mark", "table", "tr", "td", "th"}
    if text:
        assert "mark" in reader.tags


def test_texts_of_an_explanation():
    explanation = explain(make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, LABELS), TEXT)
    assert "cat" in repr(explanation)
    assert "(intercept)" in repr(explanation)
    assert explanation._repr_html_() == explanation.to_html()
    assert len(explanation.top(2)) == 2
    with pytest.raises(ValueError, match=r"no label 'fish'.*money"):
        explanation.top(label="fish")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (make_pipeline(TfidfEncoder(), RandomForestClassifier(3)), "RandomForestClassifier has no coef_.*shap"),
        (
            make_pipeline(TfidfVectorizer(), Nystroem(n_components=5), LogisticHead()),
            "Nystroem is not known to be linear",
        ),
        (make_pipeline(HashingVectorizer(n_features=16), LogisticHead()), "HashingVectorizer is not known"),
        (make_pipeline(WordVectorEncoder(3, min_count=1, pooling="max"), LogisticHead()), "pooling='max'"),
    ],
)
def test_models_that_are_not_linear_are_refused(model, words):
    model.fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match=words):
        explain(model, TEXT)


def test_wrong_input_is_named():
    model = make_pipeline(TfidfEncoder(), LogisticHead())
    with pytest.raises(NotFittedError):
        explain(model, TEXT)
    with pytest.raises(TypeError, match=r"must be one str\. Got list"):
        explain(model.fit(TEXTS, LABELS), [TEXT])
    with pytest.raises(TypeError, match="not a text encoder with a head"):
        explain(LogisticHead().fit(np.eye(4), [0, 1, 0, 1]), TEXT)
    with pytest.raises(TypeError, match="not a text encoder with a head"):
        top_terms(TfidfEncoder().fit(TEXTS))


@pytest.mark.parametrize("n", [-1, 2.5, None])
def test_number_of_terms_is_checked(n):
    model = make_pipeline(TfidfEncoder(), LogisticHead()).fit(["a good film", "a bad film"], ["up", "down"])
    explanation = explain(model, "good")
    assert explanation.top(0) == []
    assert top_terms(model, 0) == {"down": [], "up": []}
    calls = {
        "top": explanation.top,
        "to_html": lambda n: explanation.to_html(n=n),
        "top_terms": lambda n: top_terms(model, n),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"The 'n' argument of {name} must be an int in the range .*Got {n}"):
            call(n)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("compress", [None, "prune", "float16", "int8"])
def test_heads_without_hidden_layers_are_linear_whatever_they_are_called(compress, n_classes):
    texts, labels = TEXTS * 3, (np.arange(3 * len(TEXTS)) % n_classes).tolist()
    for head in (MLPHeadClassifier((), max_iter=5, random_state=0), LogisticHead()):
        model = make_pipeline(TfidfEncoder(), head).fit(texts, labels)
        if compress == "prune":
            model.steps[-1] = ("head", prune(model[-1], amount=0.3))
        elif compress is not None:
            model.steps[-1] = ("head", quantise(model[-1], compress))
        found = explain(model, TEXTS[0])
        decision = found.contributions.sum(axis=0) + found.intercept
        np.testing.assert_allclose(decision, np.ravel(model.decision_function(TEXTS[:1])), rtol=1e-3, atol=1e-3)
        assert top_terms(model, 1).keys() == set(range(n_classes))


def test_networks_with_hidden_layers_are_refused():
    model = make_pipeline(TfidfEncoder(), MLPHeadClassifier((3,), max_iter=2)).fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match="MLPHeadClassifier has hidden layers"):
        explain(model, TEXTS[0])
