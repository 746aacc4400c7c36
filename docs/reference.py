"""The pages of the API reference, one a room, written from what the rooms export."""

import importlib
import inspect

ROOMS = {
    "encoders": "Encoders: unlabelled data to features",
    "heads": "Heads: features and labels to predictions",
    "transfer": "Transfer: an encoder and a head as one",
    "adaptation": "Adaptation: from one domain to another",
    "selection": "Selection: which encoder suits a task",
    "compression": "Compression: smaller heads",
    "inspection": "Inspection: explanations and pictures",
    "persistence": "Model files",
    "export": "Export: models for other places",
    "distributed": "Distributed: the same on many machines",
    "datasets": "Data sets",
    "exceptions": "Exceptions and warnings",
}
TOP = ("save", "load", "describe")  # of the room of model files the names at the top of the package are public


def write_all(folder):
    """Write an index, and for each room that there is a page with a table of its names.

    Parameters
    ----------
    folder : Path
        Made if it does not exist. Pages that have not changed are left alone.
    """
    folder.mkdir(exist_ok=True)
    rooms = [room for room in ROOMS if importlib.util.find_spec(f"transferkit.{room}")]
    for room in rooms:
        _write(folder / f"{room}.rst", _page(room))
    names = "\n".join(f"   {room}" for room in rooms)
    _write(folder / "index.rst", f"{_title('API reference')}\n.. toctree::\n   :maxdepth: 2\n\n{names}\n")


def _page(room):
    module = importlib.import_module(f"transferkit.{room}")
    names = TOP if room == "persistence" else module.__all__
    owner = "transferkit" if room == "persistence" else f"transferkit.{room}"
    lines = "\n".join(f"   {name}" for name in names)
    summary = (inspect.getdoc(module) or "").splitlines()[0]
    table = f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{lines}\n"
    return f"{_title(ROOMS[room])}\n{summary}\n\n.. currentmodule:: {owner}\n\n{table}"


def _title(text):
    return f"{text}\n{'=' * len(text)}\n"


def _write(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
