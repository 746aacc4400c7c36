"""Progress on the terminal: a bar on stderr while a person is watching, and silence otherwise."""

from contextlib import contextmanager


@contextmanager
def show_progress(description, total, *, quiet=False):
    """Yield a function that moves the bar on by one step and may change its text.

    Parameters
    ----------
    description : str
        What is being done.
    total : int
        Number of steps.
    quiet : bool, default=False
        Show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda text=None: progress.update(task, advance=1, description=text or description)
