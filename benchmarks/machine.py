"""The machine: its description, with versions and commit, and the peak memory of a process."""

import gc
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("transferkit", "numpy", "scipy", "scikit-learn", "joblib", "torch")
RIVALS = ("dask", "fasttext-wheel", "gensim", "minisom", "skada", "skops", "skorch")


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


def is_installed(rival):
    """Return whether a module of this name is installed; if not, print that its cells stay empty."""
    found = importlib.util.find_spec(rival) is not None
    if not found:
        print(f'{rival} is not installed (pip install "transferkit[bench]"); its cells stay empty', flush=True)
    return found


def forget_peak():
    """Reset the peak of `peak_mb`, to which reading the input and the parent process may have contributed."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb():
    """Return the largest resident size of this process so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


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
