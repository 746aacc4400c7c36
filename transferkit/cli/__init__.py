"""The command line."""

import sys

import click

from transferkit.cli._commands import commands
from transferkit.cli._serve import make_app

__all__ = ["main", "make_app"]


def main(args=None):
    """Run the command line; what the user can mend is one line on stderr and exit code 2.

    Parameters
    ----------
    args : list of str, default=None
        Arguments; those of the process by default.
    """
    try:
        code = commands.main(args=args, prog_name="transferkit", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = _complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = _complain("interrupted", code=130)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        sys.stderr.close()
        code = 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        code = _complain(str(error))
    sys.exit(code or 0)


def _complain(message, code=2):
    click.echo("Error: " + " ".join(message.split()), err=True)
    return code
