"""The command line and the HTTP server.

- Commands (`_commands`): one function per command of ``transferkit``. `_options` has what they share: options, the
  unfitted encoder that these describe, and the progress bar.
- Evidence (`_evidence`): the options of ``finetune`` for what is known beside labels, and their files.
- Rejection (`_rejection`): the options of ``finetune`` for a model that rejects texts.
- Text model (`_text_models`): a model that passed a trial prediction of texts; commands and server predict with it.
- Evaluation (`_evaluation`): the labels of a file matched to the classes of a model, the report of ``evaluate``, and
  the folds of ``finetune --cv``.
- Report (`_report`): the HTML page of ``report``.
- Server (`_serve`): a FastAPI application around a model file that is reloaded when it is replaced; invalid requests
  are rejected before the model sees them.
- Demo (`_demo`).

Errors that the user can fix are printed as one line, with exit code 2.
"""

import sys

import click

from transferkit.cli._commands import commands
from transferkit.cli._serve import make_app

__all__ = ["main", "make_app"]


def main(args=None):
    """Run the command line; an error that the user can fix is one line on stderr, with exit code 2.

    Parameters
    ----------
    args : list of str, default=None
        Arguments; by default those of the process.
    """
    try:
        code = commands.main(args=args, prog_name="transferkit", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = _print_error(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = _print_error("interrupted", code=130)
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        sys.stderr.close()
        code = 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        code = _print_error(str(error))
    sys.exit(code or 0)


def _print_error(message, code=2):
    click.echo("Error: " + " ".join(message.split()), err=True)
    return code
