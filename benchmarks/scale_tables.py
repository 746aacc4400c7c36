"""Tables of docs/scale.md from the results of bench_scale.py; make_tables.py places them."""

import statistics

NAMES = {
    "tfidf": "TF-IDF",
    "lsa": "LSA, 100 components of 50,000 terms, `n_iter=1`",
    "words": "word vectors, 100 components of 30,000 words",
}


def table_of_speeds(report):
    """Return a short table: one machine, one and two workers."""
    rows = []
    for label, piece in measured(report):
        one, two = (f"{median_seconds(piece, n):.0f} s" for n in (1, 2))
        rows.append([label, size_of(piece), f"{piece['one machine']['seconds']:.0f} s", one, two, speed_up(piece)])
    return _to_markdown(["", "corpus", "`fit`", "1 worker", "2 workers", "times faster"], rows)


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
    return _to_markdown([*names, f"peak of a worker, {shards}", f"peak of the client, {shards}"], rows)


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
    return _to_markdown(["", "workers", "counting and products", "merging", "fetching", "other tasks", "waiting"], rows)


def measured(report):
    """Return the name and the results of each encoder that has been measured."""
    return [(label, report[name]) for name, label in NAMES.items() if name in report]


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
    return _to_markdown(["", "counting a shard", "page faults"], rows)


def _to_markdown(names, rows):
    return "\n".join(["| " + " | ".join(map(str, row)) + " |" for row in [names, ["---"] * len(names), *rows]])
