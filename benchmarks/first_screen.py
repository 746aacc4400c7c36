"""The figures on the first screen of the README, with the conditions under which they hold."""

import statistics
import textwrap

from tables import duration, to_markdown

CHOSEN_ON = ("ag_news_subset", "sst2", "trec", "mpqa")  # tasks on which the size of the English encoder was chosen
WIDTH = 120


def write_first_screen(results):
    """Write three figures beside scikit-learn's, and the conditions of each."""
    lines = []
    for size, tasks in results.get("english", "accuracy").items():
        means = [statistics.mean(row[column] for row in tasks.values()) for column in ("scikit-learn", "english")]
        lines.append([f"test accuracy with {size} labels per class", *(f"{mean:.1f} %" for mean in means)])
    seconds = [results.get(*_first(name)) for name in ("pickle, float32", "transferkit")]
    lines.append(["load a model and predict 100 texts, processor time", *map(duration, seconds)])
    table = to_markdown(["", "scikit-learn", "transferkit"], lines)
    prose = textwrap.fill(f"{_describe_accuracies(results)} {_describe_loading(results)}", WIDTH)
    return f"{table}\n\n{prose}"


def _first(name):
    return "first_answers", "processor_seconds", "load and first batch", name


def _describe_accuracies(results):
    """Return the conditions of the accuracies, the range of the gains, and their mean on tasks not looked at."""
    draws = {n for tasks in results.get("english", "draws").values() for n in tasks.values()}
    n_draws = " to ".join(str(n) for n in sorted({min(draws), max(draws)}))
    gains = {
        size: {task: row["english"] - row["scikit-learn"] for task, row in tasks.items()}
        for size, tasks in results.get("english", "accuracy").items()
    }
    [n_tasks] = {len(row) for row in gains.values()}
    ranges = [f"{min(row.values()):+.1f} to {max(row.values()):+.1f} points with {n}" for n, row in gains.items()]
    unseen = [[gain for task, gain in row.items() if task not in CHOSEN_ON] for row in gains.values()]
    means = " and ".join(f"{statistics.mean(row):+.1f}" for row in unseen)
    return (
        f"Accuracies are means over {n_tasks} tasks and {n_draws} draws of the labels: "
        "`TransferClassifier()`, whose English encoder has seen no text of any of them, beside "
        f"`TfidfVectorizer` and `LogisticRegressionCV`. The gain is {' and '.join(ranges)} labels per class; its mean "
        f"on the {len(unseen[0])} tasks that played no part in choosing the size of the encoder is {means}."
    )


def _describe_loading(results):
    terms, classes, runs = (results.get("first_answers", name) for name in ("terms", "classes", "runs"))
    return (
        f"The loaded model has {terms:,} terms and {classes} classes; that of scikit-learn is a pickle of the same "
        f"weights in float32 (medians of {runs} runs with one thread)."
    )
