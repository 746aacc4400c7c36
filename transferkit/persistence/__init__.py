"""Model files: arrays and plain data, no code."""

from transferkit._lazy import import_when_asked

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "ModelDescription": "._describe",
        "describe": "._describe",
        "fingerprint": "._fingerprint",
        "is_attribute_of": "._attributes",
        "load": "._model_file",
        "load_shared": "._shared",
        "make_probe": "._probe",
        "read_vectors": "._vector_files",
        "save": "._model_file",
    },
)

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
