"""The command line and the HTTP server.

- Commands: one function per command of ``transferkit``. Those that train, serve and demo are in `_commands`, with the
  group of all; `commands` has the others by subject. `_options` has what they share: options, and the unfitted encoder
  that these describe; `_output` writes tables, and puts errors and warnings in words of the options.
- Progress (`_progress`): a bar in a terminal, lines elsewhere, and what a fit of ``finetune`` is trying.
- Evidence (`_evidence`): the options of ``finetune`` for what is known beside labels, and their files.
- Rejection (`_rejection`): the options of ``finetune`` for a model that rejects texts.
- Text model (`_text_models`): a model that passed a trial prediction of texts; commands and server predict with it.
- Evaluation (`_evaluation`): the labels of a file matched to the classes of a model, the report of ``evaluate``, and
  the folds of ``finetune --cv``.
- Report (`_report`): the HTML page of ``report``.
- Server (`_serve`): a FastAPI application around a model file that is reloaded when it is replaced; invalid requests
  are rejected before the model sees them.
- Demo (`_demo`).

Errors that the user can fix are printed as one line, with exit code 2, and warnings as one line each.
"""

import math
import re
import sys
import warnings
from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.cli._serve import make_app

__all__ = ["main", "make_app"]

__getattr__, __dir__ = import_when_asked(__name__, {"make_app": "._serve"})


_NOT_A_NUMBER = re.compile(r"is not a valid (integer|float)( range)?")  # as click says it


def main(args=None):
    """Run the command line; an error that the user can fix is one line on stderr, with exit code 2.

    An interrupt, such as Ctrl-C, ends it with exit code 130, also while it is still importing.

    Parameters
    ----------
    args : list of str, default=None
        Arguments; by default those of the process.
    """
    try:
        code = _run(args)
    except KeyboardInterrupt:
        code = _print_error("interrupted", code=130)
    sys.exit(code or 0)


def _run(args):
    import click

    from transferkit._algorithms.linalg.threads import blas_threads_for
    from transferkit.cli._commands import commands
    from transferkit.cli._output import print_warning, to_options

    try:
        with warnings.catch_warnings(), blas_threads_for(math.inf):  # no more than the quota of the container
            warnings.showwarning = print_warning
            return commands.main(args=args, prog_name="transferkit", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _print_error(_NOT_A_NUMBER.sub(_name_number, error.format_message()))
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        return _print_error(to_options(re.sub(r"\[Errno \d+\] ", "", str(error))))


def _name_number(found):
    return f"is not a {'whole ' if found[1] == 'integer' else ''}number"


def _print_error(message, code=2):
    sys.stderr.write("Error: " + " ".join(message.split()) + "\n")
    return code
