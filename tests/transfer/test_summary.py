"""The summary says from held-out labels whether transfer helped, and by what."""

import json
import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import StratifiedKFold

import transferkit
from transferkit import LogisticHeadCV, TransferClassifier, TransferRegressor, WordVectorEncoder
from transferkit.transfer._evaluation import ClassificationTask, Outcome, make_row
from transferkit.transfer._summary import _left_out_variance, is_gain, pretrained_share, summarise

pytestmark = pytest.mark.filterwarnings("ignore:Transfer did not help:UserWarning")
TOPICS = ("animal", "music", "weather")
WORDS = [
    f"{number:x}" for number in 4096 + np.random.default_rng(7).permutation(3000)
]  # no part of one tells the topic
HEAD = LogisticHeadCV(Cs=(1.0, 10.0), tol=1e-3)


def make_texts(n_texts, seed, n_words=300):
    """Return texts with a few of many words of one topic, and the topics."""
    rng = np.random.default_rng(seed)
    topics = rng.choice(TOPICS, n_texts, p=(0.5, 0.3, 0.2))
    numbers = [1000 * TOPICS.index(topic) + rng.integers(0, n_words, 6) for topic in topics]
    return [" ".join(WORDS[number] for number in of_text) for of_text in numbers], topics


UNLABELLED, _ = make_texts(1500, 0)
TEXTS, LABELS = make_texts(60, 1)
ALL_WORDS = sorted({word for text in UNLABELLED for word in text.split()})


@pytest.fixture(scope="module")
def model():
    encoder = WordVectorEncoder(n_components=10, min_count=2).fit(UNLABELLED)
    return TransferClassifier(encoder, HEAD, cv=5).fit(TEXTS, LABELS)


def make_task(y, cv=4, scoring=None, sample_weight=None):
    options = {"class_weight": None, "sample_weight": sample_weight, "groups": None, "random_state": 0}
    return ClassificationTask(TransferClassifier(), np.asarray(y), cv=cv, scoring=scoring, **options)


def make_outcome(strategy, fold_scores, rows=(), **values):
    return Outcome(strategy, None, "a head", np.asarray(fold_scores, float), list(rows), **values)


def test_scores_are_those_of_the_folds(model):
    summary, table = model.summary_, model.strategy_scores_
    assert summary["score"] == "accuracy"
    assert (summary["n_folds"], summary["n_labels"]) == (5, 60)
    assert summary["class_counts"] == np.unique(LABELS, return_counts=True)[1].tolist()
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(TEXTS, LABELS)
    expected = [DummyClassifier().fit(train, LABELS[train]).score(test, LABELS[test]) for train, test in folds]
    assert summary["majority"] == pytest.approx(np.mean(expected))
    without = (table["strategy"] == "term_vectors") & (table["alpha"] == 0)
    candidates = np.concatenate([table["mean"][without], table["mean"][table["strategy"] == "scratch"]])
    assert candidates.min() - 0.1 < summary["without_transfer"] < candidates.max() + 0.1
    assert summary["gain"] == pytest.approx(summary["with_transfer"] - summary["without_transfer"])


def test_transfer_that_helps_is_announced(model):
    assert model.strategy_ == "term_vectors"
    summary, table = model.summary_, model.strategy_scores_
    assert summary["helped"] is True
    assert summary["gain"] > 2 * summary["gain_standard_error"]
    assert summary["shares"]["term vectors"] == pytest.approx(table["weight"][~(table["alpha"] <= 0)].sum())
    scores = f"{100 * summary['with_transfer']:.1f} % with transfer, {100 * summary['without_transfer']:.1f} % without"
    assert scores in summary["text"]
    assert f"60 labels, 5 folds, +-{100 * summary['standard_error']:.1f}. Transfer helped (+" in summary["text"]


def test_strategy_with_term_vectors_alone_is_compared_with_alpha_of_zero():
    encoder = WordVectorEncoder(n_components=10, min_count=2).fit(UNLABELLED)
    model = TransferClassifier(encoder, LogisticHeadCV(Cs=(10.0,)), cv=4, strategy="term_vectors").fit(TEXTS, LABELS)
    table = model.strategy_scores_
    losses = np.where(table["alpha"] == 0, table["log_loss"], np.inf)
    assert model.summary_["without_transfer"] == table["mean"][losses.argmin()]


@pytest.mark.parametrize("seed", range(3))
def test_random_words_are_not_announced_as_transfer(seed):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(ALL_WORDS, 8)) for _ in range(1500)]
    encoder = WordVectorEncoder(n_components=10, min_count=2).fit(texts)
    texts, labels = make_texts(40, seed + 5, n_words=15)
    summary = TransferClassifier(encoder, HEAD, cv=4).fit(texts, labels).summary_
    assert summary["helped"] is False
    assert "No clear gain from transfer" in summary["text"]


@pytest.mark.parametrize(
    ("gain", "error", "share", "expected"),
    [
        (0.05, 0.02, 0.9, True),
        (0.039, 0.02, 0.9, False),  # within two standard errors
        (0.05, 0.02, 0.5, False),  # no more than half of the weight
        (-0.05, 0.02, 0.9, False),
        (0.05, np.nan, 0.9, False),  # a single fold
    ],
)
def test_gain_is_announced_beyond_its_error_if_pretraining_has_most_of_the_weight(gain, error, share, expected):
    assert is_gain(gain, error, share) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"alpha": 0.0}, 0),
        ({"alpha": 0.25}, 0),
        ({"alpha": 0.5}, 1),
        ({"alpha": np.inf}, 1),
        ({"alpha": 0.0, "evidence": "teacher"}, 1),
    ],
)
def test_small_alphas_do_not_count_as_pretraining(values, expected):
    rows = [make_row("term_vectors", [], weight=1.0, **values), make_row("term_vectors", [], alpha=4.0, weight=0.0)]
    assert pretrained_share(make_outcome("term_vectors", [], rows)) == expected
    assert pretrained_share(make_outcome("scratch", [], rows)) == 0


def test_few_labels_that_only_one_model_predicts_are_no_gain():
    task = make_task([0, 1] * 8)
    rows = [make_row("frozen", [], weight=1.0)]
    better, worse = make_outcome("frozen", [0.75] * 4, rows, loss=0.5), make_outcome("scratch", [0.5] * 4, loss=0.7)
    summary = summarise(task, better, [better, worse])
    assert summary["gain_standard_error"] == pytest.approx(0.125)  # 4 of 16 labels, whichever folds they are in
    assert summary["helped"] is False
    summary = summarise(make_task([0, 1] * 80), better, [better, worse])
    assert summary["helped"] is True


def test_score_without_transfer_is_that_of_the_least_loss():
    rows = [make_row("term_vectors", [], alpha=1.0, weight=1.0)]
    baseline = 0.6, np.full(4, 0.55)
    taken = make_outcome("term_vectors", [0.7] * 4, rows, loss=0.5, baseline=baseline)
    for loss, expected in ((0.7, 0.55), (0.5, 0.65), (np.nan, 0.55)):
        scratch = make_outcome("scratch", [0.65] * 4, loss=loss)
        assert summarise(make_task([0, 1] * 8), taken, [taken, scratch])["without_transfer"] == pytest.approx(expected)


def test_where_scratch_is_used_the_score_with_transfer_is_that_of_the_best_other_strategy():
    scratch = make_outcome("scratch", [0.8, 0.9, 0.8, 0.9], [make_row("scratch", [], weight=1.0)], loss=0.3)
    others = [make_outcome("term_vectors", [0.5] * 4), make_outcome("frozen", [0.6] * 4)]
    summary = summarise(make_task([0, 1] * 8), scratch, [*others, scratch])
    assert (summary["with_transfer"], summary["helped"], summary["strategy"]) == (0.6, False, "scratch")
    assert summary["without_transfer"] == pytest.approx(0.85)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("y", [["a"] * 10 + ["b"] * 6, ["a"] * 10 + ["b"] * 6 + ["c"] * 4], ids=["two", "three"])
def test_majority_is_scored_like_the_model(scoring, y):
    y, weights = np.array(y), np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    task = make_task(y, scoring=scoring, sample_weight=weights)
    taken = make_outcome("frozen", [0.5] * 4, [make_row("frozen", [], weight=1.0)])
    scorer, expected = get_scorer(scoring), []
    for train, test in task.folds:
        dummy = DummyClassifier(strategy="prior").fit(train, y[train], weights[train])
        expected.append(scorer(dummy, test, y[test], sample_weight=weights[test]))
    assert summarise(task, taken, [taken], scoring)["majority"] == pytest.approx(np.mean(expected), rel=1e-3)


def test_scorers_that_mind_a_single_predicted_class_neither_warn_nor_fail():
    def refuse(y_true, y_pred):
        if len(np.unique(y_pred)) < 2:
            raise ValueError("one class only")
        return 1.0

    taken = make_outcome("frozen", [0.5] * 4, [make_row("frozen", [], weight=1.0)])
    for scoring, expected in (("precision", 0), (make_scorer(refuse), None)):
        summary = summarise(make_task([0, 0, 0, 1] * 8, scoring=scoring), taken, [taken], scoring)
        assert summary["majority"] == expected
        json.dumps(summary)


def test_scores_other_than_accuracy_are_no_percentages():
    taken = make_outcome("frozen", [-0.5, -0.6, -0.5, -0.6], [make_row("frozen", [], weight=1.0)])
    text = summarise(make_task([0, 1] * 8, scoring="neg_log_loss"), taken, [taken], "neg_log_loss")["text"]
    assert text.startswith("Neg_log_loss on held-out labels: -0.550 with transfer, -0.693 majority class; 16 labels")


def test_labels_of_several_classes_per_row():
    y = np.random.default_rng(0).random((30, 3)) < (0.2, 0.5, 0.9)
    rows = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    summary = TransferClassifier(PCA(3).fit(rows), cv=3).fit(rows, y.astype(int)).summary_
    assert summary["class_counts"] == y.sum(0).tolist()
    assert 0 <= summary["majority"] <= 1


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda: TransferClassifier(strategy="scratch").fit(["a cat", "a stock"], ["x", "y"]), "Too few labels to"),
        (
            lambda: TransferClassifier(head=LogisticRegression(), strategy="scratch").fit(TEXTS, LABELS),
            "No labels were held out",
        ),
        (
            lambda: TransferClassifier(
                WordVectorEncoder(n_components=10, min_count=2).fit(UNLABELLED),
                class_descriptions={
                    topic: " ".join(WORDS[1000 * place : 1000 * place + 5]) for place, topic in enumerate(TOPICS)
                },
            ).fit([], [], X_unlabelled=UNLABELLED),
            "There were no labels",
        ),
    ],
)
def test_without_folds_it_says_so(make, start):
    summary = make().summary_
    assert summary["text"].startswith(start)
    assert "nothing shows whether transfer helped" in summary["text"]
    assert summary["helped"] is summary["with_transfer"] is summary["majority"] is None
    assert summary["n_folds"] == 0


def test_source_model_is_compared_with_the_target_alone():
    source = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)
    summary = TransferClassifier(source=source, cv=3).fit(*make_texts(30, 3)).summary_
    assert summary["strategy"] == "transfer"
    assert summary["shares"]["source model"] == 1
    assert None not in (summary["with_transfer"], summary["without_transfer"], summary["gain"])


def test_summary_is_plain_data_that_files_keep(model, tmp_path):
    assert json.loads(json.dumps(model.summary_)) == model.summary_
    assert pickle.loads(pickle.dumps(model)).summary_ == model.summary_
    transferkit.save(model, tmp_path / "model.tk")
    assert transferkit.load(tmp_path / "model.tk").summary_ == model.summary_


def test_second_fit_forgets_the_first(model):
    texts, labels = ["a cat", "a stock"], ["x", "y"]
    again = TransferClassifier(strategy="scratch").fit(TEXTS, LABELS).fit(texts, labels)
    assert again.summary_ == TransferClassifier(strategy="scratch").fit(texts, labels).summary_


@pytest.fixture(scope="module")
def of_numbers(model):
    """Texts with a number that their topic determines, up to noise."""
    means = {"animal": 1.0, "music": 2.0, "weather": 4.0}
    return TEXTS, np.array([means[label] for label in LABELS]) + np.random.default_rng(3).normal(0, 0.2, len(LABELS))


def test_summary_of_numbers_compares_r2_of_left_out_samples(model, of_numbers):
    texts, y = of_numbers
    regressor = TransferRegressor(model.encoder).fit(texts, y)
    summary, table = regressor.summary_, regressor.strategy_scores_
    of_mean = np.mean([(y[i] - np.delete(y, i).mean()) ** 2 for i in range(len(y))])
    assert summary["n_labels"] == 60
    best = table["mean"][(table["strategy"] == "scratch") | (table["alpha"] == 0)].max()
    assert summary["without_transfer"] == pytest.approx(1 + best / of_mean)
    assert summary["with_transfer"] > summary["without_transfer"] + 0.3
    assert summary["gain"] == pytest.approx(summary["with_transfer"] - summary["without_transfer"])
    assert summary["helped"] is None
    numbers = f"{summary['with_transfer']:.3f} with transfer, {summary['without_transfer']:.3f} without; 60 labels. "
    assert summary["text"].startswith(f"R2 on held-out labels: {numbers}Difference (+{summary['gain']:.3f}), whose")
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("strategy", ["term_vectors", "frozen", "scratch"])
def test_summary_of_numbers_with_one_strategy(model, of_numbers, strategy, tmp_path):
    texts, y = of_numbers
    weights = np.random.default_rng(0).integers(1, 3, len(y))
    regressor = TransferRegressor(model.encoder, strategy=strategy).fit(texts, y, sample_weight=weights)
    summary = regressor.summary_
    assert (summary["with_transfer"] is None) == (strategy == "scratch")
    assert (summary["without_transfer"] is None) == (strategy == "frozen")
    transferkit.save(regressor, tmp_path / "model.tk")
    assert transferkit.load(tmp_path / "model.tk").summary_ == summary
    assert transferkit.describe(tmp_path / "model.tk").summary == summary


def test_summary_of_numbers_without_held_out_errors(model, of_numbers):
    texts, y = of_numbers
    regressor = TransferRegressor(model.encoder, LinearRegression(), strategy="frozen").fit(texts, y)
    assert regressor.summary_["text"].startswith("No errors on held-out labels are known: nothing shows whether")


def test_weights_count_in_the_error_of_the_mean():
    y, weights = np.array([1.0, 2.0, 5.0]), np.array([1, 2, 1])
    repeated = np.array([1.0, 2.0, 2.0, 5.0])
    others = [np.average(np.delete(y, i), weights=np.delete(weights, i)) for i in range(3)]
    expected = np.average((y - others) ** 2, weights=weights)
    assert _left_out_variance(y, weights) == pytest.approx(expected)
    assert _left_out_variance(repeated, None) == pytest.approx(np.var(repeated) * (4 / 3) ** 2)
