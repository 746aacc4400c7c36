"""Progress of commands on stderr: a bar in a terminal, elsewhere lines."""

import time
from contextlib import contextmanager

import click

__all__ = ["CandidateReport", "StepReport", "show_progress"]

_SECONDS_BETWEEN_DETAILS = 10.0  # of lines
_WIDTH_OF_BAR = 20


@contextmanager
def show_progress(description, total, *, quiet=False, lines=False):
    """Return a context manager with the progress of `total` steps, the first of which has this description.

    Calling the progress advances it by a step and may change the text; its `detail` is shown beside the text. If stderr
    is no terminal, nothing is shown, or with `lines` one line per text from the second step on: the first one reads the
    input, and an error in it stays a single line. With `quiet` nothing is ever shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    console = Console(stderr=True)
    if lines and not quiet and not console.is_terminal:
        yield _Lines()
        return
    cell = Column(no_wrap=True, overflow="ellipsis", max_width=console.width - _WIDTH_OF_BAR - 15)
    text = TextColumn("{task.description}", table_column=cell, markup=False)
    columns = (SpinnerColumn(), text, BarColumn(_WIDTH_OF_BAR), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        yield _Bar(progress, description, total)


class _Bar:
    def __init__(self, progress, description, total):
        self.progress, self.first, self.text = progress, description, description
        self.task = progress.add_task(description, total=total)

    def __call__(self, text=None):
        self.text = text or self.first
        self.progress.update(self.task, advance=1, description=self.text)

    def detail(self, text, is_new=False):
        self.progress.update(self.task, description=f"{self.text}: {text}")


class _Lines:
    def __init__(self):
        self.text, self.last = "", time.monotonic()

    def __call__(self, text=None):
        if text is not None and text != self.text:
            self.text = text
            self._print(text)

    def detail(self, text, is_new=False):
        """Print a detail if it is a new one, or if there was no line for some time."""
        if is_new or time.monotonic() - self.last > _SECONDS_BETWEEN_DETAILS:
            self._print(f"  {text}")

    def _print(self, text):
        click.echo(text, err=True)
        self.last = time.monotonic()


class CandidateReport:
    """Callback of scikit-learn that shows which strategy a fit tries, and the last of its candidates.

    It propagates to the classifier within another one, and then also shows which of the fits of that this is.

    Parameters
    ----------
    show : callable
        Takes the text, and with `is_new` whether it is about a new strategy.
    """

    max_propagation_depth = None

    def __init__(self, show):
        self.show, self.strategy, self.n_tried = show, "", 0

    def setup(self, estimator, context):
        """Do nothing before a fit."""

    def teardown(self, estimator, context):
        """Do nothing after a fit."""

    def on_fit_task_begin(self, estimator, context):
        """Show the strategy or the candidate."""
        if context.parent is None:
            self.strategy, self.n_tried = "", 0
        elif context.source_task_name is not None:
            self.strategy, self.n_tried = "", 0
            self.show(context.source_task_name, is_new=True)
        elif context.max_subtasks != 0:
            self.strategy, self.n_tried = f"{context.task_name}, ", 0
            self.show(f"strategy {context.task_name}", is_new=True)
        else:
            self.n_tried += 1
            self.show(f"{self.strategy}candidate {self.n_tried}: {context.task_name}")

    def on_fit_task_end(self, estimator, context):
        """Do not ask for a stop."""
        return False


class StepReport:
    """Callback of scikit-learn that shows how many of the steps of a fit are done.

    Parameters
    ----------
    show : callable
        Takes the text.
    """

    def __init__(self, show):
        self.show, self.n_done = show, 0

    def setup(self, estimator, context):
        """Begin to count."""
        self.n_done = 0

    def teardown(self, estimator, context):
        """Do nothing after a fit."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: a step is shown when it is done."""

    def on_fit_task_end(self, estimator, context):
        """Show the step; do not ask for a stop."""
        if context.parent is not None:
            self.n_done += 1
            self.show(f"step {self.n_done} of at most {context.parent.max_subtasks}: {context.task_name}")
        return False
