"""The tables of how pretraining by shards scales, from the results of bench_scale.py; make_tables.py places them."""

import math
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
    """Return times, the hardware's limit, the largest difference from one machine, and memory."""
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
                f"{limit_of(piece['constants']):.2f}",
                f"{killed['seconds']:.0f} s",
                f"{max(run['difference'] for run in [*piece['runs'], killed] if 'difference' in run):.1g}",
                *(f"{few[key]:.0f} / {two[key]:.0f} MB" for key in ("worker_mb", "client_mb")),
            ]
        )
    names = ["", "corpus", "`fit`", "1 worker", "2 workers", "times faster", "two processes apart"]
    names += ["2 workers, one killed halfway", "largest difference from `fit`"]
    shards = f"{few['shards']} / {two['shards']} shards"
    return _to_markdown([*names, f"peak of a worker, {shards}", f"peak of the client, {shards}"], rows)


def table_of_time(report):
    """Return what the seconds of the workers went to."""
    kinds = ("learning", "joining", "fetching", "other tasks")
    rows = []
    for label, piece in measured(report):
        for n_workers in (1, 2):
            run = [run for run in piece["runs"] if run["workers"] == n_workers][-1]
            seconds = [run["seconds_of_workers"].get(kind, 0.0) for kind in kinds]
            seconds.append(n_workers * run["seconds"] - sum(seconds))
            rows.append([label, n_workers, *(f"{value:.1f} s" for value in seconds)])
    return _to_markdown(["", "workers", *kinds, "waiting"], rows)


def measured(report):
    """Return the name and the results of each encoder that has been measured."""
    return [(label, report[name]) for name, label in NAMES.items() if name in report]


def median_seconds(piece, n_workers):
    return statistics.median(run["seconds"] for run in piece["runs"] if run["workers"] == n_workers)


def speed_up(piece):
    return f"{median_seconds(piece, 1) / median_seconds(piece, 2):.2f}"


def limit_of(constants):
    """Return how much faster two processes that share nothing learn from twice as many shards, as on this machine."""
    one, two = (constants[f"groups of 8, {n} at a time"]["passes"] for n in (1, 2))
    return 2 * sum(part["learn"] for part in one) / sum(part["learn"] for part in two)


def size_of(piece):
    return f"{piece['megabytes']} MB"


def table_of_checks(report):
    """Return what the model foresaw of the runs."""
    rows = [
        [
            label,
            run["workers"],
            run["shards"],
            f"{run['predicted']:.1f} s",
            f"{run['measured']:.1f} s",
            f"{run['predicted'] / run['measured'] - 1:+.0%}",
        ]
        for label, piece in measured(report)
        for run in piece["model"]
    ]
    return _to_markdown(["", "workers", "shards", "simulated", "measured", "off by"], rows)


def table_of_constants(report):
    """Return the constants of the model."""
    growth = report["model"]["constants"]
    rows = [
        [f"tokens a second and core, {kind}", f"{speed:,.0f}"] for kind, speed in growth["tokens_per_second"].items()
    ]
    rows += [
        ["bytes of a distinct term", f"{growth['bytes_per_term']:.0f}"],
        ["bytes of a pair of words", f"{growth['bytes_per_pair']:.1f}"],
        ["bytes of TF-IDF rows for each byte of text", f"{growth['bytes_of_rows_per_byte']:.2f}"],
        ["joining, for each term of either side", f"{1e9 * growth['seconds_per_merged_term']:.0f} ns"],
        ["joining, for each pair of either side", f"{1e9 * growth['seconds_per_merged_pair']:.0f} ns"],
        ["distinct terms of n tokens", f"{growth['terms']['factor']:.3g} n^{growth['terms']['power']:.2f}"],
        ["distinct pairs of n tokens", f"{growth['pairs']['factor']:.3g} n^{growth['pairs']['power']:.2f}"],
    ]
    transfer = report["model"]["transfer"]
    rows.append(["a task of the scheduler", f"{1000 * transfer['task_seconds']:.1f} ms"])
    rows.append(["from worker to worker of this machine", f"{transfer['bytes_per_second'] / 1e9:.1f} GB/s"])
    return _to_markdown(["constant", "measured"], rows)


def table_of_allocators(report):
    """Return what counting a shard costs with Dask's settings of the allocator, and with those advised."""
    rows = [
        [f"{name} settings", f"{1000 * found['seconds']:.0f} ms", f"{found['page_faults']:,.0f}"]
        for name, found in report["model"]["allocator"].items()
    ]
    return _to_markdown(["", "counting a shard", "page faults"], rows)


def table_of_paper(report):
    """Return the model's times for corpora that were not at hand."""
    rows = [
        [
            row["kind"],
            f"10^{round(math.log10(row['tokens']))}",
            row["workers"],
            _span(row["hours"]),
            f"{row['efficiency']:.0%}",
            f"{row['gb_a_worker']:.1f} GB",
            f"{row['gb_moved']:,.0f} GB",
        ]
        for row in report["model"]["table"]
    ]
    return _to_markdown(["", "tokens", "workers", "time", "of it learning", "memory a worker", "moved"], rows)


def _span(hours):
    if hours < 0.1:
        return f"{3600 * hours:.0f} s"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:,.0f} days"


def _to_markdown(names, rows):
    return "\n".join(["| " + " | ".join(map(str, row)) + " |" for row in [names, ["---"] * len(names), *rows]])
