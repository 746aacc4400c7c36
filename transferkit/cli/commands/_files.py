"""The commands about model files: describe, verify, convert."""

import json
from pathlib import Path

import click

import transferkit
from transferkit.cli import _options
from transferkit.cli._output import check_model_output, check_writable, megabytes
from transferkit.persistence import is_pickle, load_with_outcome, write_atomically

__all__ = ["COMMANDS", "read_key"]


@click.command()
@click.argument("model", metavar="MODEL.tk")
@_options.as_json
def describe(model, as_json):
    """Describe a model file without loading it."""
    description = transferkit.describe(model)
    click.echo(json.dumps(description.to_dict(), indent=2) if as_json else str(description))


@click.command()
@click.argument("model", metavar="FILE")
@click.option("--key-file", help="File with the secret key that the model must be signed with.")
@_options.trusted
def verify(model, key_file, trusted):
    """Check that a model file is intact.

    Compares its digest and signature, and runs its self-test; the exit code is 2 if one of them fails.
    """
    _, not_compared = load_with_outcome(model, verify="full", verify_key=read_key(key_file), trusted=trusted)
    self_test = "self-test passed" if not_compared is None else f"self-test not run: {not_compared}"
    description = transferkit.describe(model)
    signed = "signature valid" if key_file else "signature not checked" if description.signed else "not signed"
    click.echo(f"{model}: intact, {self_test}, {signed}, digest {description.digest}")


def read_key(path):
    if path is None:
        return None
    key = Path(path).read_bytes().strip()
    if not key:
        raise ValueError(f"The key file {path!r} is empty.")
    return key


@click.command()
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option("--trust-code", is_flag=True, help="Load a .joblib or .pkl file, which runs the code in it.")
@_options.trusted
def convert(source, output, trust_code, trusted):
    """Convert a .joblib or .pkl file to a model file, or back."""
    import joblib

    writes = is_pickle(output)
    if is_pickle(source) == writes:
        raise ValueError(f"One of {source!r} and {output!r} must end in .joblib or .pkl, the other is the model file.")
    (check_writable if writes else check_model_output)(output)
    if writes:
        model = transferkit.load(source, verify="full", mmap=False, trusted=trusted)
        with write_atomically(output, "output") as temporary:
            joblib.dump(model, temporary)
        click.echo(
            f"{source} -> {output} ({megabytes(output)}). Whoever loads it must trust you: joblib files are code."
        )
        return
    if not trust_code:
        raise ValueError(
            f"{source!r} is code: loading it runs whatever its author put in it. If you made it or trust its author, "
            "add --trust-code."
        )
    transferkit.save(_load_joblib(source), output, trusted=trusted)
    click.echo(f"{source} -> {output} ({megabytes(output)})")


def _load_joblib(path):
    import joblib

    try:
        model = joblib.load(path)
    except OSError:  # its message contains the path
        raise
    except Exception as error:  # invalid pickles lead to errors of any type
        raise ValueError(
            f"{path!r} cannot be loaded as a joblib or pickle file: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(model, "get_params"):
        raise ValueError(f"{path!r} holds a {type(model).__name__}, which is not an estimator.")
    return model


COMMANDS = (describe, verify, convert)
