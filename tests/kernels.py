"""Run the numerical tests as if on other processors: with other kernels of OpenBLAS, MKL and torch, and two threads.

`make test-kernels` runs all of them under each variant; `make test` runs the few of QUICK under the two variants that
differ most from what a new processor chooses by itself.
"""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NUMERICAL = [
    "tests/_algorithms",
    "tests/_training",
    "tests/adaptation",
    "tests/encoders/networks/test_autoencoder.py",
    "tests/encoders/rows/test_kmeans.py",
    "tests/encoders/text/test_lsa.py",
    "tests/encoders/rows/test_som.py",
    "tests/encoders/words/test_word_vectors.py",
    "tests/heads",
    "tests/persistence/test_model_file.py",
    "tests/persistence/test_safety.py",
    "tests/selection",
    "tests/transfer",
]
QUICK = [
    "tests/_training/linear/test_preconditioning.py",
    "tests/heads/linear/test_logistic.py",
    "tests/heads/linear/test_ridge.py",
    "-k",
    "not estimator and not torch",  # scikit-learn's contract and processes without torch say little about rounding
]
OLD = {"OPENBLAS_CORETYPE": "Nehalem", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
MIDDLE = {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2"}
NEW = {"OPENBLAS_CORETYPE": "SkylakeX", "ATEN_CPU_CAPABILITY": "avx512"}


def find_variants(quick):
    """Return settings of the environment: kernels that this processor can run, and numbers of threads."""
    threads = [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}]
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return threads[1:]
    flags = read_flags()
    kernels = [OLD] + [MIDDLE] * ("avx2" in flags) + [NEW] * ("avx512f" in flags)
    if quick:
        return [OLD | threads[1], *(kernel | threads[0] for kernel in kernels[1:2])]
    return [kernel | thread for kernel in kernels for thread in threads]


def read_flags():
    """Return what the processor can do, as Linux tells it; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def run(variant, arguments):
    """Run the tests under a variant, and return whether they passed and what was said."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    result = subprocess.run(
        command, env=os.environ | variant, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    setting = " ".join(f"{name}={value}" for name, value in variant.items())
    return result.returncode == 0, f"kernels: {setting}\n{result.stdout}"


def main():
    quick = "--quick" in sys.argv
    arguments = QUICK if quick else NUMERICAL
    variants = find_variants(quick)
    all_passed = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each in one process: threads of several wait for each other
        for passed, output in pool.map(lambda variant: run(variant, arguments), variants):
            sys.stdout.write(output)
            sys.stdout.flush()
            all_passed &= passed
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
