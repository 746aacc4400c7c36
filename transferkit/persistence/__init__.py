"""Model files: estimators as arrays and plain data, without code.

`save` writes a fitted estimator, `load` reads it, and `describe` reads only the description in its header.

- Container (`_container`): a safetensors file, that is a JSON header and the arrays as they are in memory, with the
  digest and the signature (HMAC) of the content. It is replaced atomically (`_atomic`) and memory-mapped for reading.
- State: the parameters and fitted attributes of an estimator. `protocols` defines how an estimator may change the
  written state and check the one that was read.
- Node: a value as JSON. `_pack` turns values into nodes and named arrays, `_unpack` turns them back into values and
  checks each estimator before compiled code uses it; `reads_files` finds models that open files named by their input.
- Allowed (`_allowed`): the classes that any file may hold, and the attributes that it may set. Other classes and
  functions are used only if the caller trusts them by name.
- Budget (`_bounds`): the memory that the values of a file may take, relative to its size.
- Probe (`_probe`): a few samples generated from the model and its output for them; comparing the output after loading
  is the self-test.
- Packaged models (`_packaged`): names, such as "english", that stand for files of the package.
- Model file (`_model_file`): `save` and `load` put these together, and `load_shared` loads a file once per process.
- Fingerprint (`_fingerprint`): a name that identifies the state of an estimator in memory.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.persistence._atomic import write_atomically
    from transferkit.persistence._describe import ModelDescription, describe
    from transferkit.persistence._fingerprint import fingerprint, forget_fingerprint
    from transferkit.persistence._model_file import is_pickle, load, load_shared, load_with_outcome, save
    from transferkit.persistence._packaged import PACKAGED_MODELS
    from transferkit.persistence._probe import make_probe
    from transferkit.persistence._unpack import reads_files

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "ModelDescription": "._describe",
        "PACKAGED_MODELS": "._packaged",
        "describe": "._describe",
        "fingerprint": "._fingerprint",
        "forget_fingerprint": "._fingerprint",
        "is_pickle": "._model_file",
        "load": "._model_file",
        "load_shared": "._model_file",
        "load_with_outcome": "._model_file",
        "make_probe": "._probe",
        "reads_files": "._unpack",
        "save": "._model_file",
        "write_atomically": "._atomic",
    },
)

__all__ = [
    "PACKAGED_MODELS",
    "ModelDescription",
    "describe",
    "fingerprint",
    "forget_fingerprint",
    "is_pickle",
    "load",
    "load_shared",
    "load_with_outcome",
    "make_probe",
    "reads_files",
    "save",
    "write_atomically",
]
