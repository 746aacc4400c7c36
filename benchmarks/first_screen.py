"""The figures on the first screen of the README, with the conditions under which they hold."""

import statistics
import textwrap

from tables import PLUS_MINUS, TASK_NAMES, average_gains, duration, find_gain, to_markdown, write_mean

SIZES = ("8", "64")
# on these the size of the English encoder was chosen, but on MR, whose sentences are those of SST-2
CHOSEN_ON = ("ag_news_subset", "sst2", "trec", "mpqa", "mr")
OTHERS = {"characters": "`TfidfVectorizer` of characters", "ComplementNB": "`ComplementNB`"}
WIDTH = 120


def write_first_screen(results):
    """Write three figures beside scikit-learn's, and the conditions of each."""
    lines = []
    for size in SIZES:
        tasks = results.get("transfer", "columns", size)
        means = [
            statistics.mean(results.get("transfer", "columns", size, task, column, "accuracy") for task in tasks)
            for column in ("scikit-learn", "english")
        ]
        lines.append([f"test accuracy with {size} labels per class", *(f"{mean:.1f} %" for mean in means)])
    seconds = [results.get(*_first(name)) for name in ("pickle, float32", "transferkit")]
    lines.append(["load a model and predict 100 texts, processor time", *map(duration, seconds)])
    table = to_markdown(["", "scikit-learn", "transferkit"], lines)
    prose = (textwrap.fill(describe(results), WIDTH) for describe in (_describe_accuracies, _describe_loading))
    return "\n\n".join([table, *prose])


def _first(name):
    return "first_answers", "processor_seconds", "load and first batch", name


def _describe_accuracies(results):
    """Return the conditions of the accuracies, the range of the gains, and where another pipeline is ahead."""
    tasks = tuple(results.get("transfer", "columns", SIZES[0]))
    draws = {results.get("transfer", find_gain("english"), size, task, "draws") for size in SIZES for task in tasks}
    n_draws = " to ".join(str(n) for n in sorted({min(draws), max(draws)}))
    unseen = [task for task in tasks if task not in CHOSEN_ON]
    few, more = (_describe_gain(results, size, tasks) for size in SIZES)
    others = " and ".join(_write_gain(results, size, unseen) for size in SIZES)
    return (
        f"Accuracies are means over {len(tasks)} tasks and {n_draws} draws of the labels: `TransferClassifier()`, "
        "whose English encoder has seen no text of the tasks, beside `TfidfVectorizer` and `LogisticRegressionCV`. "
        f"With {SIZES[0]} labels per class the gain is {few}; with {SIZES[1]}, or as many as a class has, it is "
        f"{more}; ± is the standard error over the draws. On the {len(unseen)} tasks whose texts played no part "
        f"in choosing the size of the encoder the gains are {others}. {_describe_losses(results, tasks)}"
    )


def _describe_gain(results, size, tasks):
    gains = {task: results.get("transfer", find_gain("english"), size, task, "mean") for task in tasks}
    ends = [find(gains, key=gains.get) for find in (min, max)]
    least, most = (f"{gains[task]:+.1f} ({_name(task)})" for task in ends)
    return f"{_write_gain(results, size, tasks)} points, from {least} to {most}"


def _write_gain(results, size, tasks):
    return write_mean(average_gains(results, "english", size, tasks), "{:+.1f}").replace(" ± ", PLUS_MINUS)


def _describe_losses(results, tasks):
    """Return sentences on the tasks in which another pipeline of scikit-learn has the higher accuracy."""
    sentences = []
    for column, name in OTHERS.items():
        rows = {f"{_name(t)} with {size}": results.get("transfer", "columns", size, t) for size in SIZES for t in tasks}
        ahead = [
            case for case, row in rows.items() if column in row and row[column]["accuracy"] > row["english"]["accuracy"]
        ]
        sentences += [f"{name} is ahead on {' and '.join(ahead)} labels."] if ahead else []
    return " ".join(sentences)


def _name(task):
    return TASK_NAMES.get(task, task.upper())


def _describe_loading(results):
    terms, classes, runs = (results.get("first_answers", name) for name in ("terms", "classes", "runs"))
    return (
        f"The loaded model has {terms:,} terms and {classes} classes; that of scikit-learn is a pickle of the same "
        f"weights in float32 (medians of {runs} runs with one thread)."
    )
