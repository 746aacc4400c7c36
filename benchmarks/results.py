"""Files of results: JSON that is read, extended and written again, with the machine that it was measured on."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("transferkit", "numpy", "scipy", "scikit-learn", "joblib", "torch")
RIVALS = (
    "dask",
    "fasttext-wheel",
    "gensim",
    "minisom",
    "model2vec",
    "scikit-learn-intelex",
    "sentence-transformers",
    "skada",
    "skops",
    "skorch",
    "snapml",
)


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


def describe_machine(device="auto"):
    """Return processor, cores, memory, GPU, versions of packages and rivals, and the commit, as JSON data.

    The GPU is None if there is none or if `device` is "cpu".
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "gpu": None if device == "cpu" else _gpu(),
        "python": platform.python_version(),
        "versions": {name: version for name in (*PACKAGES, *RIVALS) if (version := _version(name)) is not None},
        "commit": _commit(),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    """Return the commit, followed by a plus if files differ from it; None outside a repository."""
    folder = Path(__file__).parent

    def git(*words):
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../transferkit", ".", ":!results")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
