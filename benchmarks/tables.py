"""Tables in Markdown from files of results; make_tables.py places them in the pages."""

import statistics

from results import RESULTS, read_results

PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # so that a figure and its error stay on one line
NOT_MEASURED = "Not measured yet."
TASK_NAMES = {
    "ag_news_subset": "AG News subset",
    "sst2": "SST-2",
    "20newsgroups": "20 Newsgroups",
    "banking77": "Banking77",
    "docstrings": "docstrings",
}
TRANSFER_COLUMNS = ("scikit-learn", "characters", "ComplementNB", "fastText", "gensim", "english", "auto")
ENGLISH = ("english", "english and own")
SCALE_NAMES = {
    "tfidf": "TF-IDF",
    "lsa": "LSA, 100 components of 50,000 terms, `n_iter=1`",
    "words": "word vectors, 100 components of 30,000 words",
}


class MissingFigureError(KeyError):
    """A file of results lacks a figure of transferkit."""

    def __str__(self):
        return str(self.args[0])


class Results:
    """Files of results, each read on first access."""

    def __init__(self, folder=RESULTS):
        self.folder, self.read = folder, {}

    def get(self, file, *keys, optional=False):
        """Return a value; with `optional`, None if it is missing."""
        path = self.folder / f"bench_{file}.json"
        if file not in self.read:
            self.read[file] = read_results(path)
        value = self.read[file]
        for depth, key in enumerate(keys):
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                if optional:
                    return None
                place = " -> ".join(map(str, keys[: depth + 1]))
                raise MissingFigureError(f"{path.name} has no figure at {place}") from None
        return value


def to_markdown(names, rows, align=None):
    """Return a table; `align` has "l" or "r" for each column, by default "l" for the first and "r" for the others."""
    align = align or "l" + "r" * (len(names) - 1)
    marks = "|" + "".join("---|" if side == "l" else "--:|" for side in align)
    lines = ["| " + " | ".join(map(str, row)).replace(" ± ", PLUS_MINUS) + " |" for row in [names, *rows]]
    return "\n".join([lines[0], marks, *lines[1:]])


def write_speeds(results, rows):
    """Return a table of tasks with our time, the rival's time and their ratio."""
    lines = []
    for what, rival, ours, theirs, quality in rows:
        if not results.get(*ours[:2], optional=True):  # the whole case was not measured
            continue
        seconds, its_seconds = results.get(*ours), results.get(*theirs, optional=True)
        seconds, its_seconds = (statistics.median(s) if isinstance(s, list) else s for s in (seconds, its_seconds))
        times = ["", ""]
        if its_seconds is not None:
            times = [duration(its_seconds), factor(its_seconds / seconds)]
        lines.append([what, duration(seconds), rival, *times, quality(results)])
    names = ["task", "time", "rival", "rival's time", "speed-up", "results: ours / rival's"]
    return to_markdown(names, lines, "lrlrrl")


def write_comparisons(results, rows):
    """Return a table of tasks with our time, the rival's and their ratio: one thread, then all threads.

    Those of one thread are of the processor, those of all threads of the clock.
    """
    lines = []
    for what, rival, key, ours, theirs, quality in rows:
        if not results.get(*key, optional=True):  # the whole case was not measured
            continue
        times = []
        for setting, kind in (("one thread", "processor_seconds"), ("all threads", "seconds")):
            if not results.get(*key, setting, optional=True):  # measured with one thread alone
                times += [""] * 3
                continue
            seconds = results.get(*key, setting, kind, ours)
            its_seconds = results.get(*key, setting, kind, theirs, optional=True)
            if its_seconds is None:
                times += [duration(seconds), "", ""]
            else:
                times += [duration(seconds), duration(its_seconds), factor(its_seconds / seconds)]
        n_runs = [results.get(*key, "one thread", "runs", name, optional=True) for name in (ours, theirs)]
        lines.append([what, rival, *times, " / ".join(map(str, n_runs)), quality(results)])
    names = ["task", "rival", *("one thread", "rival", "speed-up"), *("all threads", "rival", "speed-up")]
    names += ["runs: ours / rival's", "results: ours / rival's"]
    return to_markdown(names, lines, "llrrrrrrrl") if lines else NOT_MEASURED


def with_runs(write, file):
    """Return a function that writes a table and, below it, over how many runs its times are medians."""
    return lambda results: f"{write(results)}\n\nMedians of {results.get(file, 'runs')} runs."


def duration(seconds):
    """Return seconds with a unit and at most three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            return f"{value:.0f}\N{NO-BREAK SPACE}{unit}" if value >= 100 else f"{value:.1f}\N{NO-BREAK SPACE}{unit}"
    raise AssertionError


def factor(value):
    """Return a ratio with two significant digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def write_transfer(size):
    """Return a function that writes the accuracies of transfer and of its rivals for a number of labels per class."""

    def write(results):
        tasks = results.get("transfer", "columns", size, optional=True)
        if not tasks:
            return NOT_MEASURED
        columns = [column for column in TRANSFER_COLUMNS if any(column in row for row in tasks.values())]
        lines = []
        for task, row in tasks.items():
            best = max(row[column]["accuracy"] for column in columns if column in row)
            cells = [_write_accuracy(row.get(column), best) for column in columns]
            difference = results.get("transfer", "auto - scikit-learn", size, task, optional=True)
            seconds = [row[column]["seconds"] for column in ("auto", "scikit-learn") if column in row]
            lines.append(
                [
                    TASK_NAMES.get(task, task.upper()),
                    results.get("transfer", "seen in development", task),
                    _write_draws({column: row[column]["draws"] for column in columns if column in row}),
                    *cells,
                    "" if difference is None else write_mean(difference, "{:+.1f}"),
                    " / ".join(f"{value:.2f}" for value in seconds),
                ]
            )
        names = ["task", "seen in development", "draws", *columns, "auto - scikit-learn", "fit, s: auto / scikit-learn"]
        return to_markdown(names, lines, "llr" + "r" * (len(columns) + 2))

    return write


def write_strategies(results):
    """Write the accuracies of two strategies and of the selection among them, where all have the same draws."""
    columns, lines = ("frozen", "term_vectors", "auto"), []
    for size, tasks in (results.get("transfer", "columns", optional=True) or {}).items():
        for task, row in tasks.items():
            draws = {row[column]["draws"] if column in row else None for column in columns}
            if len(draws) == 1 and None not in draws:
                cells = [f"{row[column]['accuracy']:.1f}" for column in columns]
                lines.append([TASK_NAMES.get(task, task.upper()), size, *draws, *cells])
    return to_markdown(["task", "labels per class", "draws", *columns], lines) if lines else NOT_MEASURED


def _write_accuracy(figures, best):
    if figures is None:
        return ""
    text = f"{figures['accuracy']:.1f}"
    return f"**{text}**" if figures["accuracy"] == best else text


def _write_draws(draws):
    """Return the number of draws of most columns, and which columns have others."""
    usual = statistics.mode(draws.values())
    others = [f"{column} {n}" for column, n in draws.items() if n != usual]
    return f"{usual} ({', '.join(others)})" if others else str(usual)


def write_english(results):
    """Write the accuracies of the encoder of the package and their gains, per number of labels, and their means."""
    lines = []
    for size, tasks in (results.get("transfer", "columns", optional=True) or {}).items():
        tasks = {task: row for task, row in tasks.items() if "english" in row}
        for task, row in tasks.items():
            draws = _write_draws({column: row[column]["draws"] for column in ENGLISH if column in row})
            cells = ["" if column not in row else f"{row[column]['accuracy']:.1f}" for column in ENGLISH]
            gains = [results.get("transfer", key, size, task, optional=True) for key in map(find_gain, ENGLISH)]
            cells += ["" if gain is None else write_mean(gain, "{:+.1f}") for gain in gains]
            lines.append([TASK_NAMES.get(task, task.upper()), size, draws, *cells])
        means = [average_gains(results, column, size, tasks) for column in ENGLISH]
        if tasks:
            cells = ["" if gain is None else write_mean(gain, "{:+.1f}") for gain in means]
            lines.append([f"mean of {len(tasks)} tasks", size, *[""] * (len(ENGLISH) + 1), *cells])
    names = ["task", "labels per class", "draws", *ENGLISH, *map(find_gain, ENGLISH)]
    return to_markdown(names, lines) if lines else NOT_MEASURED


def find_gain(column):
    """Return the name of the differences of a column from scikit-learn."""
    return f"{column} - scikit-learn"


def average_gains(results, column, size, tasks):
    """Return the mean gain over tasks and its standard error over the draws; None if it lacks any of the tasks."""
    gains = [results.get("transfer", find_gain(column), size, task, optional=True) for task in tasks]
    if not gains or None in gains:
        return None
    found = {"mean": statistics.mean(gain["mean"] for gain in gains)}
    errors = [gain.get("standard error") for gain in gains]  # None with a single draw
    return found if None in errors else found | {"standard error": sum(e**2 for e in errors) ** 0.5 / len(errors)}


def write_evidence(results):
    """Write accuracies with more than labels: per number of labels and task, the mean gain and its standard error."""
    accuracy = results.get("evidence", "accuracy", optional=True)
    if not accuracy:
        return NOT_MEASURED
    columns, lines = ("words", "characters", "labels", "unlabelled", "descriptions", "both"), []
    for size, tasks in accuracy.items():
        for task, row in tasks.items():
            cells = ["" if column not in row else f"{row[column]:.1f}" for column in columns]
            gain = results.get("evidence", "difference from labels alone", size, task, "both", optional=True)
            gain = "" if gain is None else f"{gain['mean']:+.1f} ± {gain['standard error']:.1f}"
            n_draws = results.get("evidence", "draws", size, task)
            lines.append([TASK_NAMES.get(task, task.upper()), size, n_draws, *cells, gain])
    return to_markdown(["task", "labels per class", "draws", *columns, "both - labels"], lines)


def write_new_classes(results):
    """Write accuracies on old and on new classes before and after classes are added, and after a fit to all texts."""
    accuracy = results.get("new_classes", "accuracy", optional=True)
    if not accuracy:
        return NOT_MEASURED
    lines = []
    for name, row in sorted(accuracy.items(), key=lambda item: (item[0].split()[0], *map(int, item[0].split()[1:]))):
        task, size, n_added = name.split()
        error = row["standard error of added - refitted"]
        gain = row["added"]["all"] - row["refitted"]["all"]
        difference = f"{gain:+.1f}" if error is None else f"{gain:+.1f} ± {error:.1f}"
        cells = [
            " / ".join(f"{row[model][part]:.1f}" for part in ("old", "new", "all")) for model in ("added", "refitted")
        ]
        lines.append(
            [
                TASK_NAMES.get(task, task.upper()),
                size,
                n_added,
                row["draws"],
                f"{row['before']['old']:.1f}",
                *cells,
                difference,
            ]
        )
    names = ["task", "old labels per class", "classes added", "draws", "before: old"]
    return to_markdown(
        [*names, "added: old / new / all", "fitted to all: old / new / all", "added - fitted to all"], lines
    )


def write_suggestions(results):
    """Write accuracies with random and with suggested labels, and the standard error of the difference, per task."""
    accuracy = results.get("suggest", "accuracy", optional=True)
    if not accuracy:
        return NOT_MEASURED
    lines = []
    for task, n_draws in results.get("suggest", "draws", "suggest").items():
        cells = []
        for size in accuracy:
            random, ours = (results.get("suggest", "accuracy", size, column, task) for column in ("random", "suggest"))
            error = results.get("suggest", "difference from random", size, "suggest", task, "standard error")
            cells.append(f"{random:.1f} / {ours:.1f} ± {error:.1f}")
        lines.append([TASK_NAMES.get(task, task.upper()), n_draws, *cells])
    return to_markdown(["task", "draws", *(f"{size} labels" for size in accuracy)], lines)


def write_rivals_of_suggestions(results):
    """Write the mean difference from random labels over the tasks, per method."""
    differences = results.get("suggest", "difference from random", optional=True)
    if not differences:
        return NOT_MEASURED
    methods = {
        "suggest": "`suggest_labels`",
        "margin": "margin",
        "k-means": "k-means centres",
        "typiclust": "TypiClust",
    }
    lines = []
    for method, name in methods.items():
        gains = [row[method]["mean"] for row in differences.values() if method in row]
        n_draws = min(results.get("suggest", "draws").get(method, {"": 0}).values())
        cells = [f"{gain['mean']:+.1f} ± {gain['standard error']:.1f}" for gain in gains]
        lines += [[name, n_draws, *cells]] if cells else []
    return to_markdown(["", "draws", *(f"{size} labels" for size in differences)], lines)


def write_rejection(results):
    """Write, per task with classes held back, AUROC and recall of texts that are out of scope, by method."""
    figures = results.get("rejection", "figures", optional=True)
    if not figures:
        return NOT_MEASURED
    columns, lines = ("probability", "distance", "both", "words", "characters", "LOF"), []
    for size, tasks in figures.items():
        for task, row in tasks.items():
            if "both" not in row:  # nothing is held back
                continue
            cells = [_write_pair(row.get(column), "AUROC", "recall") for column in columns]
            gain = " / ".join(
                write_mean(row["both"][f"{name} less that of probability"], "{:+.1f}") for name in ("AUROC", "recall")
            )
            lines.append([TASK_NAMES.get(task, task.upper()), size, row["draws"], *cells, gain])
    return to_markdown(["task", "labels per class", "draws", *columns, "both - probability"], lines)


def write_accepted(results):
    """Write, per task with classes held back, what the thresholds from held-out folds reject, and the errors."""
    figures = results.get("rejection", "figures", optional=True)
    if not figures:
        return NOT_MEASURED
    columns, lines = ("probability", "distance", "both"), []
    for size, tasks in figures.items():
        for task, row in tasks.items():
            if "both" in row:
                rejected = [_write_pair(row[c], "rejected in scope", "rejected out of scope") for c in columns]
                areas = [f"{row[c]['AURC']['mean']:.1f}" for c in columns]
                accuracy = f"{row['probability']['accuracy']['mean']:.1f}"
                lines.append([TASK_NAMES.get(task, task.upper()), size, accuracy, *rejected, *areas])
    names = [*(f"rejected: {c}" for c in columns), *(f"AURC: {c}" for c in columns)]
    return to_markdown(["task", "labels per class", "accuracy", *names], lines)


def write_calibration(results):
    """Write calibration errors of probabilities, before and after temperature scaling, per task."""
    figures = results.get("rejection", "figures", optional=True)
    if not figures:
        return NOT_MEASURED
    lines = []
    for size, tasks in figures.items():
        for task, row in tasks.items():
            found = row["calibration"]
            names = ("ECE plain", "ECE scaled", "log loss plain", "log loss scaled", "temperature")
            cells = [
                write_mean(found[name], "{:.2f}" if " loss" in name or name == "temperature" else "{:.1f}")
                for name in names
            ]
            lines.append([TASK_NAMES.get(task, task.upper()), size, row["draws"], *cells])
    names = ["ECE", "ECE, scaled", "log loss", "log loss, scaled", "temperature"]
    return to_markdown(["task", "labels per class", "draws", *names], lines)


def _write_pair(row, *names):
    return "" if row is None else " / ".join(f"{row[name]['mean']:.1f}" for name in names)


def write_mean(entry, form):
    error = entry.get("standard error")
    return form.format(entry["mean"]) + ("" if error is None else " ± " + form.replace("+", "").format(error))


def write_grid(file, *keys, first, form="{:.1f}"):
    """Return a function that writes a dict of dicts of numbers as a table."""

    def write(results):
        table = results.get(file, *keys, optional=True)
        if not table:
            return NOT_MEASURED
        rows = {name: row for name, row in table.items() if isinstance(row, dict)}
        columns = list(dict.fromkeys(c for row in rows.values() for c, v in row.items() if isinstance(v, int | float)))
        names = [c.replace("_", " ").replace(" a class", " per class") for c in columns]
        cells = [
            [name, *(form.format(row[c]) if isinstance(row.get(c), int | float) else "" for c in columns)]
            for name, row in rows.items()
        ]
        return to_markdown([first, *names], cells)

    return write


def write_adaptation(*parts):
    """Return a function that writes accuracies without adaptation, with each method, and with target labels."""

    def write(results):
        summary = results.get("adaptation", "summary", optional=True) or {}
        summary = {name: values for name, values in summary.items() if name.partition(",")[0] in parts}
        if not summary:
            return NOT_MEASURED
        columns = list(dict.fromkeys(method for values in summary.values() for method in values["mean"]))
        lines = []
        for name, values in summary.items():
            cells = [f"{values['mean'][c]:.1f}" if c in values["mean"] else "" for c in columns]
            lines.append([name, values["n_pairs"], *cells, f"{values['gain']:+.1f}", f"{values['worst']:+.1f}"])
        return to_markdown(["pairs of domains", "n", *columns, "gain of auto", "worst"], lines)

    return write


def write_shifts(*parts):
    """Return a function that writes accuracies on each shift, without adaptation and by "auto"."""

    def write(results):
        lines = []
        for part in parts:
            shifts = {}
            for name, methods in (results.get("adaptation", part, optional=True) or {}).items():
                shifts.setdefault(name.partition(", draw")[0], []).append(methods)
            for name, draws in shifts.items():
                none, auto = (sum(draw[m]["accuracy"] for draw in draws) / len(draws) for m in ("none", "auto"))
                lines.append([f"{part}: {name}", f"{none:.1f}", f"{auto:.1f}", f"{auto - none:+.1f}"])
        return to_markdown(["shift", "none", "auto", "gain"], lines) if lines else NOT_MEASURED

    return write


def write_choices(results):
    """Return the mean accuracy on shifted digits of the methods that skada's scorers and ours select."""
    found = {"transferkit, auto": [], "no adaptation": []}
    for shift in results.get("adaptation", "digits", optional=True) or {}:
        for name, method in (("transferkit, auto", "auto"), ("no adaptation", "none")):
            found[name].append(results.get("adaptation", "digits", shift, method, "accuracy"))
    for methods in (results.get("adaptation", "skada", optional=True) or {}).values():
        for method, values in methods.items():
            found.setdefault(f"skada, {method}", []).append(values["accuracy"])
    lines = [[name, f"{sum(values) / len(values):.1f}"] for name, values in found.items() if values]
    return to_markdown(["digits, all shifts", "accuracy"], lines)


def write_files(results):
    """Return sizes of the files of one model."""
    sizes = dict(results.get("serving", "file_mb"))
    for name, size in (results.get("serving", "smaller_files", "file_mb", optional=True) or {}).items():
        sizes[f"transferkit, {name}"] = size
    return to_markdown(["file of the model", "MB"], [[name, f"{size:.1f}"] for name, size in sizes.items()])


def write_load(results):
    """Return a table of the load test of the server."""
    load = results.get("serving", "load_test")
    memory, latency = load["memory_mb"], load["latency_ms"]
    lines = {
        "clients": load["clients"],
        "seconds": f"{load['seconds']:.0f}",
        "requests": f"{load['requests']:,}",
        "errors": load["errors"],
        "latency, median / 95 % / 99 %": " / ".join(f"{latency[q]:.1f} ms" for q in ("p50", "p95", "p99")),
        "memory at the start / end": f"{memory[0]:.0f} / {memory[-1]:.0f} MB",
    }
    return to_markdown(["`transferkit serve`", ""], lines.items())


def write_scale(make):
    """Return a function that writes a table of docs/scale.md, made from the results of bench_scale.py."""
    return lambda results: make(results.get("scale")) if results.get("scale") else NOT_MEASURED


def write_machines(*files):
    """Return a function that lists the machines and commits at which result files were measured."""

    def write(results):
        scripts = {}
        for file in files:
            words, commit = describe(results, file)
            script = f"`bench_{file.removesuffix('_h100')}.py`"
            scripts.setdefault(", ".join(words), []).append(f"{script} at {commit}" if commit else script)
        return "\n".join(f"- {machine}: {', '.join(found)}." for machine, found in scripts.items())

    return write


def describe(results, file, versions_of=None):
    """Return the machine, versions and commit that a file was measured with; older files have fewer of them.

    `versions_of` are the packages to name, by default all.
    """
    machine = results.get(file, "run", optional=True) or results.get(file, optional=True) or {}
    if isinstance(machine.get("machine"), dict):
        machine = machine["machine"]
    versions = machine.get("versions") or results.get(file, "versions", optional=True) or {}
    versions = versions or {
        k: v for k, v in machine.items() if k in ("numpy", "scipy", "scikit-learn", "torch", "dask")
    }
    device = machine.get("gpu") or machine.get("device")
    words = [str(machine["processor"])] if machine.get("processor") else []
    words += [f"{machine['cores']} cores"] if machine.get("cores") else []
    words += [str(device)] if device and device not in ("cpu", machine.get("processor"), "x86_64") else []
    words += [f"Python {machine['python']}"] if machine.get("python") else []
    words += [f"{name} {version}" for name, version in versions.items() if versions_of is None or name in versions_of]
    return words or ["not measured yet"], machine.get("commit")


def write_machine(start, file, versions_of=None, with_commit=False):
    """Return a function that writes a line on one machine, and the commit that was measured."""

    def write(results):
        words, commit = describe(results, file, versions_of)
        words += [f"at commit {commit}"] if with_commit and commit else []
        return f"{start} {', '.join(words)}."

    return write


def table_of_speeds(report):
    """Return a short table: one machine, one and two workers."""
    rows = []
    for label, piece in measured(report):
        one, two = (f"{median_seconds(piece, n):.0f} s" for n in (1, 2))
        rows.append([label, size_of(piece), f"{piece['one machine']['seconds']:.0f} s", one, two, speed_up(piece)])
    return to_markdown(["", "corpus", "`fit`", "1 worker", "2 workers", "times faster"], rows)


def table_of_runs(report):
    """Return times, the largest difference from the fit on one machine, and memory."""
    rows = []
    for label, piece in measured(report):
        few, killed = piece["few shards"], piece["worker killed"]
        two = [run for run in piece["runs"] if run["workers"] == 2][-1]
        rows.append(
            [
                label,
                size_of(piece),
                f"{piece['one machine']['seconds']:.0f} s",
                *(f"{median_seconds(piece, n):.0f} s" for n in (1, 2)),
                speed_up(piece),
                f"{killed['seconds']:.0f} s",
                f"{max(run['difference'] for run in [*piece['runs'], killed] if 'difference' in run):.1g}",
                *(f"{few[key]:.0f} / {two[key]:.0f} MB" for key in ("worker_mb", "client_mb")),
            ]
        )
    names = ["", "corpus", "`fit`", "1 worker", "2 workers", "times faster"]
    names += ["2 workers, one killed halfway", "largest difference from `fit`"]
    shards = f"{few['shards']} / {two['shards']} shards"
    return to_markdown([*names, f"peak of a worker, {shards}", f"peak of the client, {shards}"], rows)


def table_of_time(report):
    """Return the seconds of the workers by kind of task."""
    kinds = ("learning", "joining", "fetching", "other tasks")
    rows = []
    for label, piece in measured(report):
        for n_workers in (1, 2):
            run = [run for run in piece["runs"] if run["workers"] == n_workers][-1]
            seconds = [run["seconds_of_workers"].get(kind, 0.0) for kind in kinds]
            seconds.append(n_workers * run["seconds"] - sum(seconds))
            rows.append([label, n_workers, *(f"{value:.1f} s" for value in seconds)])
    return to_markdown(["", "workers", "counting and products", "merging", "fetching", "other tasks", "waiting"], rows)


def measured(report):
    """Return the name and the results of each encoder that has been measured."""
    return [(label, report[name]) for name, label in SCALE_NAMES.items() if name in report]


def median_seconds(piece, n_workers):
    return statistics.median(run["seconds"] for run in piece["runs"] if run["workers"] == n_workers)


def speed_up(piece):
    return f"{median_seconds(piece, 1) / median_seconds(piece, 2):.2f}"


def size_of(piece):
    return f"{piece['megabytes']} MB"


def table_of_allocators(report):
    """Return the cost of counting a shard with Dask's settings of malloc, and with the recommended ones."""
    measured = report.get("allocator") or report["model"]["allocator"]  # its place in older files
    rows = [
        [f"{name} settings", f"{1000 * found['seconds']:.0f} ms", f"{found['page_faults']:,.0f}"]
        for name, found in measured.items()
    ]
    return to_markdown(["", "counting a shard", "page faults"], rows)
