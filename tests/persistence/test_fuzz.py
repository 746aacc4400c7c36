"""Hundreds of broken files: each is an equal model or a ModelFileError. benchmarks/bench_fuzz.py tries 100,000."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if not hasattr(signal, "SIGPROF"):
    pytest.skip("bounds the time with a POSIX signal", allow_module_level=True)


def test_valid_files_load_and_broken_ones_are_refused_or_harmless_in_little_memory(tmp_path):
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("mutations.py")), str(tmp_path), "400"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["failures"] == []
    assert found["loaded"] + found["refused"] == 400
    assert min(found["loaded"], found["refused"]) > 50  # the mutations are neither all harmless nor all too coarse
