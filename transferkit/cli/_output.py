"""What commands write: tables, and messages about what they wrote."""

from pathlib import Path

import click

from transferkit.persistence import write_atomically

__all__ = ["check_writable", "megabytes", "say", "write_csv"]


def check_writable(path):
    """Raise ValueError before hours of work, not after."""
    if Path(path).is_dir():
        raise ValueError(f"The output {path!r} is a folder. Give the path of a file.")
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"The folder of the output {path!r} does not exist. Create it first.")


def write_csv(rows, output):
    import csv
    import io

    buffer = io.StringIO(newline="")
    has_returns = any("\r" in str(field) for row in rows for field in row)  # readers take one for the end of a row
    quoting = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL  # the latter quotes none before Python 3.13
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerows(rows)
    if output:
        with write_atomically(output, "output") as temporary:
            temporary.write_bytes(buffer.getvalue().encode())
    else:
        click.echo(buffer.getvalue(), nl=False)


def megabytes(path):
    return f"{Path(path).stat().st_size / 1e6:.2f} MB"


def say(message, quiet):
    if not quiet:
        click.echo(message)
