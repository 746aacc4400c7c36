"""The demo's picture: accuracy against labels a class, transfer and scratch."""

import numpy as np

from transferkit.exceptions import MissingExtraError

_STYLES = {"transfer": {"color": "#0072b2", "marker": "o"}, "scratch": {"color": "#d55e00", "marker": "s"}}


def draw_curves(runs, path):
    """Draw one panel a task and write the picture.

    Parameters
    ----------
    runs : list of dict
        Figures with "task", "strategy", "labels_a_class" and "accuracy".
    path : path
        PNG file to write.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing learning curves", "plot") from None

    tasks = list(dict.fromkeys(run["task"] for run in runs))
    figure = Figure(figsize=(4 * len(tasks), 3.8), layout="constrained")  # no pyplot: no global state
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        for strategy, style in _STYLES.items():
            _draw_line(panel, [run for run in runs if run["task"] == task and run["strategy"] == strategy], style)
        sizes = sorted({run["labels_a_class"] for run in runs})
        panel.set(xscale="log", title=task, xlabel="labels a class")
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy on held-out docstrings, %")
    panels[0].legend(loc="lower right")
    figure.savefig(path, dpi=120)


def _draw_line(panel, runs, style):
    sizes = sorted({run["labels_a_class"] for run in runs})
    accuracies = [[100 * run["accuracy"] for run in runs if run["labels_a_class"] == size] for size in sizes]
    middle = [np.mean(values) for values in accuracies]
    panel.plot(sizes, middle, label=runs[0]["strategy"], **style)
    low, high = [min(values) for values in accuracies], [max(values) for values in accuracies]
    panel.fill_between(sizes, low, high, color=style["color"], alpha=0.15, linewidth=0)
