"""The half that serves: what `make test-serving` runs where torch is not installed, and everybody else as well."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import transferkit
from transferkit.cli import main

SAVED = Path(__file__).parent / "saved"
MODEL = SAVED / "format2-text.tk"
QUESTIONS = json.loads(MODEL.with_suffix(".json").read_text())["rows"]


def test_loading_predicting_and_explaining_never_import_torch():
    code = """
import sys, transferkit
model = transferkit.load(sys.argv[1], verify="full")
print(model.predict(["a matrix has rows"])[0], "torch" in sys.modules)
transferkit.explain(model, "a matrix has rows"), transferkit.describe(sys.argv[1]), transferkit.to_sklearn(model)
print("torch" in sys.modules)
"""
    command = [sys.executable, "-W", "error", "-c", code, str(MODEL)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split()[1:] == ["False", "False"]


@pytest.mark.parametrize("name", transferkit.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(transferkit, name) is not None


def test_without_torch_counting_encoders_fit_and_heads_say_what_is_missing(run_without_torch):
    code = """
from transferkit import LogisticHead, LSAEncoder, TfidfEncoder, WordVectorEncoder
texts = ["a matrix has rows", "a vector has entries", "rows and columns", "entries of rows"] * 3
for encoder in (TfidfEncoder(), LSAEncoder(2), WordVectorEncoder(2, min_count=1)):
    print(encoder.fit(texts).transform(texts).shape[0])
try:
    LogisticHead().fit([[0.0], [1.0]], [0, 1])
except ImportError as error:
    print(error)
"""
    *counts, message = run_without_torch(code).splitlines()
    assert counts == ["12"] * 3
    assert "torch" in message


def test_command_line_predicts_and_verifies(capsys):
    command = [sys.executable, "-m", "transferkit", "predict", str(MODEL), "-"]
    result = subprocess.run(command, input="rows\n", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for word in ("verify", "describe"):
        with pytest.raises(SystemExit) as end:
            main([word, str(MODEL)])
        assert end.value.code == 0, capsys.readouterr().err


SERVING = Path(__file__).parents[1] / "serving"


def names_in(requirements):
    return {re.match(r"[\w-]+", line)[0].lower() for line in requirements if line and not line.startswith("#")}


def test_packages_for_serving_are_the_dependencies_without_torch():
    project = tomllib.loads((SERVING.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = names_in([*project["dependencies"], *project["optional-dependencies"]["serve"]]) - {"torch"}
    requirements = (SERVING / "requirements.txt").read_text().splitlines()
    assert names_in(requirements) == needed
    pins = (SERVING / "constraints.txt").read_text().splitlines()
    assert needed <= names_in(pins)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins[1:])
    page = (SERVING.parent / "docs" / "how-to" / "docker-and-http.md").read_text(encoding="utf-8")
    assert "pip install " + " ".join(line for line in requirements if line[0] != "#") in page


def test_http_answers_as_the_model_does():
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from transferkit.cli import make_app

    model = transferkit.load(MODEL)
    with TestClient(make_app(MODEL)) as client:
        answer = client.post("/predict", json={"texts": QUESTIONS}).json()
    assert answer["predictions"] == model.predict(QUESTIONS).tolist()
    np.testing.assert_allclose(model.predict_proba(QUESTIONS).sum(axis=1), 1, atol=1e-5)
