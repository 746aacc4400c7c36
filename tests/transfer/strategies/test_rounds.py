"""With many rows candidates are compared in rounds, a fold each, and only those that may have a weight go on."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from tests.transfer.strategies.test_strategies import UNLABELLED, make_texts
from transferkit import LogisticHeadCV, TransferClassifier, WordVectorEncoder
from transferkit.transfer import _evaluation
from transferkit.transfer._evaluation import ClassificationTask
from transferkit.transfer.strategies import _candidates, _term_vectors
from transferkit.transfer.strategies._average import Average, ToBeat, search_around_best
from transferkit.transfer.strategies._candidates import read_settings

TEXTS, LABELS = make_texts(240, 1)
NOISY = np.where(np.random.RandomState(3).rand(len(LABELS)) < 0.2, "sky", LABELS)
TEST_TEXTS = make_texts(60, 2)[0]


@pytest.fixture(scope="module")
def encoder():
    return WordVectorEncoder(8, min_count=1).fit(UNLABELLED)


@pytest.fixture
def in_rounds(monkeypatch):
    """Make the texts of these tests count as many, with few candidates."""
    monkeypatch.setattr(_candidates, "CS", (0.01, 10.0))
    monkeypatch.setattr(_term_vectors, "ALPHAS", (0.0, 1.0))
    monkeypatch.setattr(_term_vectors, "MOST_JOINT_ROWS", 50)
    monkeypatch.setattr(_evaluation, "FEWEST_ROWS_FOR_ROUNDS", 50)


def test_candidates_with_weight_are_evaluated_on_all_folds_and_others_on_some(encoder, in_rounds, monkeypatch):
    model = TransferClassifier(encoder, random_state=0).fit(TEXTS, NOISY)
    table = model.strategy_scores_
    is_kept = table["weight"] > 0
    assert not np.isnan(table["standard_error"][is_kept]).any()
    assert np.isnan(table["standard_error"]).any()
    assert not np.isnan(table["mean"]).any()
    monkeypatch.setattr(_evaluation, "FEWEST_ROWS_FOR_ROUNDS", 1000)
    expected = TransferClassifier(encoder, random_state=0).fit(TEXTS, NOISY)
    full = expected.strategy_scores_
    columns = ("strategy", "alpha", "C", "idf", "terms")
    rows, others = (np.stack([one[name].astype(str) for name in columns], 1).tolist() for one in (table, full))
    places = [others.index(row) for row, kept in zip(rows, is_kept, strict=True) if kept]
    for name in ("log_loss", "mean", "standard_error"):
        np.testing.assert_allclose(table[name][is_kept], full[name][places], atol=2e-3)
    np.testing.assert_allclose(model.predict_proba(TEST_TEXTS), expected.predict_proba(TEST_TEXTS), atol=0.05)
    assert model.summary_["without_transfer"] == pytest.approx(expected.summary_["without_transfer"], abs=0.02)
    assert model.summary_["n_folds"] == 5


@pytest.mark.filterwarnings("ignore:Transfer did not help")
def test_strategies_that_are_clearly_worse_in_the_first_fold_are_left_out(encoder, in_rounds):
    words = sorted(set(" ".join(UNLABELLED).split()))
    nonsense = [" ".join(text) for text in np.random.RandomState(0).choice(words, (200, 6))]
    misleading = WordVectorEncoder(1, min_count=1).fit(nonsense)
    table = TransferClassifier(misleading, random_state=0).fit(TEXTS, LABELS).strategy_scores_
    frozen, scratch = (table["strategy"] == name for name in ("frozen", "scratch"))
    assert np.isnan(table["standard_error"][frozen]).all()
    assert scratch.any()
    alone = TransferClassifier(misleading, strategy="frozen", random_state=0).fit(TEXTS, LABELS).strategy_scores_
    assert not np.isnan(alone["standard_error"][alone["weight"] > 0]).any()


@pytest.mark.parametrize(("first_loss", "loss", "is_taken"), [(0.90, 0.7, True), (0.97, 0.7, True), (1.2, 0.7, False)])
def test_all_folds_decide_on_further_terms_where_the_first_leaves_it_in_doubt(first_loss, loss, is_taken):
    def found(first_loss, loss):
        finished = SimpleNamespace(margin=0.05, doubt=0.1, first_loss=first_loss, best=SimpleNamespace(loss=first_loss))
        finished.finish = lambda: setattr(finished.best, "loss", loss)
        return SimpleNamespace(average=finished)

    words, further = found(1.0, 0.8), found(first_loss, loss)
    for one in (words, further):
        one.average.kept = ["model"]
    assert _term_vectors._choose(words, further) is (further if is_taken else words)
    left_out = words if is_taken else further
    assert left_out.average.kept == []  # their models take much memory


def test_of_the_fits_on_words_only_the_start_of_those_with_characters_stays_in_memory(encoder, in_rounds, monkeypatch):
    n_fits, search_characters = [], _term_vectors._search_characters

    def record(before, *arguments):
        n_fits.append(len(before.fits))
        found = search_characters(before, *arguments)
        n_fits.append(len(before.fits))
        assert [fit.C for fit in before.fits] == [before.average.best.row["C"]]
        return found

    monkeypatch.setattr(_term_vectors, "_search_characters", record)
    TransferClassifier(encoder, random_state=0, strategy="term_vectors").fit(TEXTS, NOISY)
    assert n_fits[0] > n_fits[1] == 1


@pytest.mark.parametrize(("loss", "n_fitted"), [(0.1, 1), (10.0, 3)])
def test_a_search_ends_where_the_strategies_before_are_clearly_better(loss, n_fitted):
    X, y = np.random.RandomState(0).rand(80, 3), np.arange(80) % 2
    given = {"scoring": None, "class_weight": None, "sample_weight": None, "groups": None, "random_state": 0}
    task = ClassificationTask(TransferClassifier(), y, cv=2, **given)
    task.to_beat = ToBeat(loss, 1000.0)
    average = Average("scratch", task)
    search_around_best(average, X, task, read_settings(LogisticHeadCV([1.0, 100.0, 1000.0]), "cpu"))
    assert [row["C"] for row in average.rows] == [1000.0, 100.0, 1.0][:n_fitted]


def test_weights_of_rows_do_not_make_the_first_fold_decide(encoder, in_rounds):
    weights = np.full(len(LABELS), 100.0)
    table = TransferClassifier(encoder, random_state=0).fit(TEXTS, NOISY, sample_weight=weights).strategy_scores_
    assert (~np.isnan(table["standard_error"])).sum() > 3


@pytest.mark.parametrize("options", [{"cv": StratifiedKFold(3)}, {"cv": 3, "groups": np.arange(240) % 10}])
def test_folds_that_may_differ_are_all_used(encoder, in_rounds, options):
    groups = options.get("groups")
    model = TransferClassifier(encoder, cv=options["cv"]).fit(TEXTS, NOISY, groups=groups)
    assert not np.isnan(model.strategy_scores_["standard_error"]).any()
