"""Model files: arrays and plain data, no code."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.persistence._describe import ModelDescription, describe
    from transferkit.persistence._file_input import reads_files
    from transferkit.persistence._fingerprint import fingerprint, forget_fingerprint
    from transferkit.persistence._model_file import load, load_with_outcome, save
    from transferkit.persistence._probe import make_probe
    from transferkit.persistence._replacing import write_whole
    from transferkit.persistence._shared import load_shared
    from transferkit.persistence.vectors._files import read_vectors

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "ModelDescription": "._describe",
        "describe": "._describe",
        "fingerprint": "._fingerprint",
        "forget_fingerprint": "._fingerprint",
        "load": "._model_file",
        "load_shared": "._shared",
        "load_with_outcome": "._model_file",
        "make_probe": "._probe",
        "read_vectors": ".vectors._files",
        "reads_files": "._file_input",
        "save": "._model_file",
        "write_whole": "._replacing",
    },
)

__all__ = [
    "ModelDescription",
    "describe",
    "fingerprint",
    "forget_fingerprint",
    "load",
    "load_shared",
    "load_with_outcome",
    "make_probe",
    "read_vectors",
    "reads_files",
    "save",
    "write_whole",
]
