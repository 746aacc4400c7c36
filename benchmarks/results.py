"""Files of results: JSON that is read, extended and written again, so that an interrupted run keeps its results."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def read_results(path):
    """Return the results in a file; none if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_results(path, results):
    """Write results to a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def choose_output(output, kept, quick):
    """Return the file to write: `output`, unless a quick run would overwrite the results that are kept."""
    return kept.parent / "quick" / kept.name if quick and output == kept else output
