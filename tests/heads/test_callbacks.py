"""Heads support scikit-learn's callbacks: progress, usable snapshots, and stopping."""

import numpy as np
import pytest
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import LogisticHead, LogisticHeadCV


class Recorder:
    """Records its calls, and requests a stop after a given number of steps."""

    def __init__(self, stop_after=None):
        self.stop_after, self.scores, self.events = stop_after, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_after is not None and self.events.count("end step") >= self.stop_after


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


def test_every_step_is_a_task_with_a_usable_snapshot(digits):
    recorder = Recorder()
    head = LogisticHead().set_callbacks(recorder).fit(*digits)
    assert recorder.events[:2] == ["setup", "begin fit"]
    assert recorder.events[-2:] == ["end fit", "teardown"]
    assert recorder.events.count("begin step") == recorder.events.count("end step") == head.n_iter_[0]
    assert recorder.scores[0] < recorder.scores[-1] == head.score(*digits)


def test_request_to_stop_stops_without_a_warning(digits):
    head = LogisticHead().set_callbacks(Recorder(stop_after=3)).fit(*digits)
    assert head.n_iter_.tolist() == [3]
    assert head.score(*digits) > 0.5


def test_callbacks_are_torn_down_when_fit_fails(digits):
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        LogisticHead().set_callbacks(recorder).fit(np.full((2, 2), np.nan), [0, 1])
    assert recorder.events == ["setup", "teardown"]


def test_every_candidate_of_a_search_is_a_task(digits):
    recorder = Recorder()
    search = LogisticHeadCV(3).set_callbacks(recorder).fit(*digits)
    assert recorder.events.count("end candidate") == 3
    assert recorder.scores == [search.score(*digits)]


def test_stopped_search_chooses_among_what_it_has_seen(digits):
    class Stop(Recorder):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "candidate"

    search = LogisticHeadCV([0.1, 1.0]).set_callbacks(Stop()).fit(*digits)
    assert search.C_ == 0.1
    assert np.isnan(search.cv_results_["mean_test_score"][1])
    assert search.cv_results_["rank_test_score"].tolist() == [1, 2]


def test_progress_bar_of_scikit_learn(digits, capsys):
    make_pipeline(StandardScaler(), LogisticHead()).set_callbacks(ProgressBar()).fit(*digits)
    LogisticHeadCV(2).set_callbacks(ProgressBar()).fit(*digits)
    assert "LogisticHead" in capsys.readouterr().out
