"""Loading of sentence embedding models by the package that suits them."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from transferkit.exceptions import MissingExtraError, count_inner_frames

__all__ = ["load_sentence_model"]


def load_sentence_model(name, device):
    """Load a model by its name on the Hugging Face hub, or its folder.

    Parameters
    ----------
    name : str
        Name or folder.
    device : str
        "auto", or the device of sentence-transformers.

    Returns
    -------
    model : StaticModel or SentenceTransformer
        For a static model a StaticModel of model2vec, if that is installed.
    """
    is_folder = Path(name).is_dir()
    if not is_folder and (name.startswith((".", "~", "/")) or name.count("/") > 1):
        raise ValueError(f"There is no folder {name!r} with a sentence model.")
    has_model2vec, has_other = _is_installed("model2vec"), _is_installed("sentence_transformers")
    found = _inspect_files(name) if is_folder or has_other else _Found(is_static=has_model2vec)
    if found.is_static and has_model2vec:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(name, **({"normalize": True} if found.is_normalized else {}))
    if not has_other or found.is_for_model2vec_alone:
        raise MissingExtraError(f"Loading the sentence model {name!r}", "sentence")
    if found.is_static:
        warnings.warn(
            f"The static model {name!r} is loaded by sentence-transformers, which includes unknown tokens: "
            "embeddings of texts with such tokens differ from those of model2vec. Install it: "
            "pip install 'transferkit[sentence]'.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name, device=None if device == "auto" else device)


class _Found(NamedTuple):
    """Properties of a model that its files declare."""

    is_static: bool = False
    is_normalized: bool = False
    is_for_model2vec_alone: bool = False  # no modules.json, or vectors in a format of model2vec


def _inspect_files(name):
    modules = _read_json(name, "modules.json", list)
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds and kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        return _Found()
    config = _read_json(name, "config.json", dict)
    if not kinds:
        return _Found(is_static := _is_static(name, config), False, is_static)
    is_compressed = "vocabulary_quantization" in config or "int" in str(config.get("embedding_dtype"))
    return _Found(_has_readable_vectors(name, modules[0].get("path")), len(kinds) == 2, is_compressed)


def _is_static(name, config):
    """Return whether a model without modules.json is one of model2vec."""
    if "model_type" in config or "architectures" in config:
        return config.get("model_type") == "model2vec"
    return all((Path(name) / file).is_file() for file in ("config.json", "model.safetensors", "tokenizer.json"))


def _has_readable_vectors(name, path):
    """Return whether model2vec finds the vectors of a StaticEmbedding, which it looks for in two places."""
    is_known = path in ("", ".", "0_StaticEmbedding")
    return is_known and (not Path(name).is_dir() or (Path(name) / path / "model.safetensors").is_file())


def _read_json(name, file, kind):
    """Return a JSON file of a model, or an empty list or dict if it has none."""
    path = Path(name) / file if Path(name).is_dir() else _find_on_hub(name, file)
    if path is None or not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"The file {str(path)!r} of a sentence model is damaged: {error}.") from error
    if not isinstance(content, kind) or (kind is list and not all(isinstance(part, dict) for part in content)):
        raise ValueError(f"The file {str(path)!r} of a sentence model is damaged: it holds {str(content)[:60]!r}.")
    return content


def _find_on_hub(name, file):
    """Return the path of one file of a model on the hub, downloaded if necessary; None if there is none."""
    if not _is_installed("huggingface_hub"):
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file))
    except Exception:  # of many classes; if the model does not exist, the package that loads it raises
        return None


def _is_installed(package):
    return find_spec(package) is not None
