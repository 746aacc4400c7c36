"""A progress bar on stderr if it is a terminal, and no output otherwise."""

from contextlib import contextmanager

__all__ = ["show_progress"]


@contextmanager
def show_progress(description, total, *, quiet=False):
    """Return a context manager with a function that advances the bar by one step and may change its text.

    Parameters
    ----------
    description : str
        Text to the left of the bar.
    total : int
        Number of steps.
    quiet : bool, default=False
        Print nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda text=None: progress.update(task, advance=1, description=text or description)
