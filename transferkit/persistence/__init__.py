"""Model files: arrays and plain data, no code."""

from transferkit.persistence._attributes import is_attribute_of
from transferkit.persistence._describe import ModelDescription, describe
from transferkit.persistence._fingerprint import fingerprint
from transferkit.persistence._model_file import load, save
from transferkit.persistence._probe import make_probe
from transferkit.persistence._shared import load_shared
from transferkit.persistence._vector_files import read_vectors

__all__ = [
    "ModelDescription",
    "describe",
    "fingerprint",
    "is_attribute_of",
    "load",
    "load_shared",
    "make_probe",
    "read_vectors",
    "save",
]
