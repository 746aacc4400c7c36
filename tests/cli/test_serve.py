"""A served model predicts, within limits, also after its file is replaced by a better or by a broken one."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import transferkit
from transferkit import (
    LogisticHead,
    LSAEncoder,
    PretrainedEncoder,
    RidgeHead,
    SelectiveClassifier,
    TfidfEncoder,
    TransferClassifier,
    TransferRegressor,
)
from transferkit.cli import _serve, main, make_app
from transferkit.cli._text_models import find_selective
from transferkit.exceptions import MissingExtraError, ModelFileError

pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install 'transferkit[serve]'")
try:  # older versions of Starlette need httpx, newer ones take httpx2 as well
    from fastapi.testclient import TestClient
except (ImportError, RuntimeError) as error:
    pytest.skip(f"FastAPI's TestClient cannot be used: {error}", allow_module_level=True)

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.tk"
    model = TransferClassifier(LSAEncoder(3).fit(TEXTS), strategy="frozen").fit(TEXTS, LABELS)
    transferkit.save(model, path, card={"task": "test"})
    return path


@pytest.fixture
def path(model_file, tmp_path):
    """A copy that a test may change."""
    return shutil.copy2(model_file, tmp_path / "model.tk")


@pytest.fixture
def client(path):
    with TestClient(
        make_app(path, max_texts=5, max_characters=100, max_body=2000), raise_server_exceptions=False
    ) as client:
        yield client


def test_predictions_are_those_of_the_model(client, path):
    answer = client.post("/predict", json={"texts": TEXTS[:5]})
    assert answer.status_code == 200
    model = transferkit.load(path)
    assert answer.json()["predictions"] == model.predict(TEXTS[:5]).tolist()
    assert answer.json()["classes"] == ["matrix", "other", "vector"]
    np.testing.assert_allclose(answer.json()["probabilities"], model.predict_proba(TEXTS[:5]), rtol=1e-6)


def test_explanation_adds_up(client, path):
    answer = client.post("/explain", json={"text": TEXTS[0], "n": 100}).json()
    for label, decision, intercept in zip(answer["labels"], answer["decision"], answer["intercept"], strict=True):
        total = sum(term["contribution"] for term in answer["terms"][label])
        assert decision == pytest.approx(total + intercept, abs=1e-6)


def test_model_is_described_without_its_place(client, path):
    answer = client.get("/model").json()
    assert answer["card"] == {"task": "test"}
    assert answer["digest"] == transferkit.describe(path).digest
    assert str(path.parent) not in client.get("/model").text


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("/predict", {"texts": []}, 422),
        ("/predict", {"texts": ["a"] * 6}, 422),
        ("/predict", {"texts": ["a" * 101]}, 422),
        ("/predict", {"texts": "a"}, 422),
        ("/predict", {"texts": [None]}, 422),
        ("/predict", {"text": "a"}, 422),
        ("/explain", {"text": "a" * 101}, 422),
        ("/explain", {"text": "a", "n": 0}, 422),
        ("/predict", {"texts": ["a" * 90] * 30}, 413),
    ],
)
def test_limits_are_kept(client, route, body, status):
    answer = client.post(route, json=body)
    assert answer.status_code == status
    assert "detail" in answer.json()


def test_body_without_a_length_is_limited_too(client):
    answer = client.post("/predict", content=(b"x" * 500 for _ in range(10)))
    assert answer.status_code == 413
    assert client.post("/predict", content=b"{").status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b'{"texts":[NaN]}',
        b'{"texts":[1e999]}',
        b'{"texts":["\\ud83d"]}',  # half of an emoji
        b'{"text":"\\udc00"}',
        b'{"text":"a","n":-Infinity}',
        b'{"\\ud83d":1}',
        b'{"texts":["\xff"]}',
        b"\x89PNG",
        b'{"texts":' + b"9" * 1900 + b"}",
        b"[" * 2000,
        b"",
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "image/png", "application/json; charset=\xff"])
@pytest.mark.parametrize("route", ["/predict", "/explain"])
def test_requests_that_cannot_be_answered_in_json_are_rejected(client, route, body, content_type):
    answer = client.post(route, content=body, headers={"content-type": content_type.encode("latin-1")})
    assert 400 <= answer.status_code < 500
    assert "detail" in answer.json()


def test_refusal_names_the_place_and_repeats_nothing(client):
    answer = client.post("/predict", json={"texts": ["secret" * 20, 7, None, "a"]})
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", "texts", i] for i in range(3)]
    assert all(set(problem) == {"type", "loc", "msg"} for problem in answer.json()["detail"])
    assert "secret" not in answer.text


def test_refusal_names_ten_problems_at_most(path):
    answer = TestClient(make_app(path)).post("/predict", json={"texts": [None] * 50})
    assert len(answer.json()["detail"]) == 10


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5000, 413), ("-1", 400), ("1e3", 400), ("0" * 5000 + "15", 200), ("2001", 413)]
)
def test_announced_length_is_a_number_within_the_limit(client, length, status):
    headers = {"content-type": "application/json", "content-length": length}
    answer = client.post("/predict", content=b'{"texts":["a"]}', headers=headers)
    assert answer.status_code == status
    assert ("detail" in answer.json()) == (status != 200)


def test_limits_of_the_command_are_those_of_the_server(path, run, monkeypatch):
    apps = []
    monkeypatch.setattr(_serve, "run_server", lambda app, *_: apps.append(app))
    assert run("serve", path, "--max-body", 50, "--max-texts", 2)[0] == 0
    client = TestClient(apps[0])
    for n_texts, n_letters, status in [(2, 5, 200), (3, 1, 422), (1, 60, 413)]:
        assert client.post("/predict", json={"texts": ["a" * n_letters] * n_texts}).status_code == status


@pytest.mark.parametrize(
    "options", [("--max-body", 0), ("--max-body", -1), ("--max-texts", 0), ("--port", 65536), ("--port", -1)]
)
def test_impossible_limits_and_ports_are_rejected(options, path, run):
    code, out, error = run("serve", path, *options)
    assert (code, out) == (2, "")
    assert error.startswith(f"Error: Invalid value for '{options[0]}': {options[1]} is not in the range")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(st.characters(), max_size=5), inner),
    max_leaves=10,
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_values.map(json.dumps),
    st.fixed_dictionaries({"texts": st.lists(json_values, max_size=6) | json_values}).map(json.dumps),
    st.fixed_dictionaries({"text": json_values}, optional={"n": json_values}).map(json.dumps),
)


@pytest.mark.filterwarnings("ignore:No text of this batch:UserWarning")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(["/predict", "/explain"]),
    body=bodies,
    content_type=st.just(b"application/json") | st.binary(max_size=20),
)
def test_any_request_gets_a_response_in_json(client, route, body, content_type):
    answer = client.post(route, content=body, headers={"content-type": content_type})
    assert answer.status_code in (200, 400, 413, 422)
    assert isinstance(json.loads(answer.content), dict)


def replace(path, model):
    transferkit.save(model, path)
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


def test_replaced_file_is_loaded_and_a_broken_one_is_not(client, path, monkeypatch):
    monkeypatch.setattr(_serve, "_SECONDS_BETWEEN_CHECKS", 0.0)
    before = client.get("/model").json()["digest"]
    path.write_bytes(b"broken")
    assert client.post("/predict", json={"texts": TEXTS[:1]}).json()["predictions"] == ["matrix"]
    assert client.get("/model").json()["digest"] == before
    assert "'model.tk' is not a transferkit model file" in client.get("/model").json()["problem_with_newer_file"]
    replace(path, make_pipeline(TfidfEncoder(), LogisticHead()).fit(TEXTS, ["new"] * 10 + ["newer"] * 10))
    assert client.post("/predict", json={"texts": TEXTS[:1]}).json()["classes"] == ["new", "newer"]
    assert client.get("/model").json()["problem_with_newer_file"] is None
    path.unlink()
    assert client.post("/predict", json={"texts": TEXTS[:1]}).status_code == 200
    assert "There is no model file 'model.tk'" in client.get("/model").json()["problem_with_newer_file"]


def test_model_without_probabilities_and_without_exact_reasons(client, path, monkeypatch):
    monkeypatch.setattr(_serve, "_SECONDS_BETWEEN_CHECKS", 0.0)
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import LinearSVC

    replace(path, make_pipeline(TfidfEncoder(), LinearSVC()).fit(TEXTS, LABELS))
    assert client.post("/predict", json={"texts": TEXTS[:1]}).json() == {"predictions": ["matrix"]}
    replace(path, make_pipeline(LSAEncoder(2), GaussianNB()).fit(TEXTS, LABELS))
    answer = client.post("/explain", json={"text": TEXTS[0]})
    assert answer.status_code == 422
    assert "linear in terms" in answer.json()["detail"]


def test_server_keeps_no_rows(path, tmp_path):
    frozen = make_pipeline(PretrainedEncoder(LSAEncoder(3).fit(TEXTS)), LogisticHead()).fit(TEXTS, LABELS)
    transferkit.save(frozen, tmp_path / "frozen.tk")
    served = make_app(tmp_path / "frozen.tk").state.model_file.current()
    assert served[0].cache_size == 0


def numbers():
    return np.random.RandomState(0).rand(20, 4), ["a", "b"] * 10


def reader_of_files(folder):
    for i, text in enumerate(TEXTS[:4]):
        (folder / f"{i}.txt").write_text(text)
    paths = [str(folder / f"{i}.txt") for i in range(4)]
    return make_pipeline(TfidfEncoder(input="filename"), LogisticHead()).fit(paths, LABELS[:4])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: PCA(2).fit(np.eye(4)), "is a PCA, which predicts nothing"),
        (lambda folder: LogisticHead().fit(*numbers()), "is a LogisticHead, which takes numeric samples, not texts"),
        (
            lambda folder: make_pipeline(StandardScaler(), LogisticHead()).fit(*numbers()),
            "is a Pipeline, which takes numeric samples, not texts",
        ),
        (
            lambda folder: TransferClassifier(strategy="scratch").fit(*numbers()),
            "is a TransferClassifier, which takes numeric samples, not texts",
        ),
        (reader_of_files, "its input names files"),
    ],
    ids=["no predictions", "head", "pipeline", "transfer", "files"],
)
def test_model_that_predicts_no_texts_is_refused_at_the_start(make, message, tmp_path, path, monkeypatch, capsys):
    other = tmp_path / "other.tk"
    transferkit.save(make(tmp_path), other)
    with pytest.raises(ModelFileError, match=message):
        make_app(other)
    (tmp_path / "t.csv").write_text("text,label\na,b\n")
    for command, *table in (["serve"], ["evaluate", tmp_path / "t.csv"], ["predict", tmp_path / "t.csv"]):
        with pytest.raises(SystemExit, match="2"):
            main([command, str(other), *map(str, table)])
        error = capsys.readouterr().err
        assert error.startswith("Error: ")
        assert message.replace("nothing", "no classes" if command == "evaluate" else "nothing") in error
        assert error.count("\n") == 1
    monkeypatch.setattr(_serve, "_SECONDS_BETWEEN_CHECKS", 0.0)
    app = make_app(path)  # the old model stays in use if such a file replaces it
    os.replace(other, path)
    app.state.model_file.current()
    assert message in app.state.model_file.description["problem_with_newer_file"]
    assert app.state.model_file.current().predict(TEXTS[:1]).tolist() == ["matrix"]


def test_missing_file_and_missing_fastapi_are_named(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match="There is no model file"):
        make_app(tmp_path / "none.tk")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"transferkit\[serve\]"):
        make_app(tmp_path / "pca.tk")


def test_eight_threads_get_the_right_answers(path):
    models = [
        transferkit.load(path),
        TransferClassifier(strategy="scratch").fit(TEXTS, LABELS),
        make_pipeline(PretrainedEncoder(LSAEncoder(3).fit(TEXTS)), LogisticHead()).fit(TEXTS, LABELS),
        make_pipeline(TfidfEncoder(stemmer=str.lower), LogisticHead()).fit(TEXTS, LABELS),
    ]
    for model in models:
        texts = [f"{TEXTS[i % 5]} {'matrix ' * (i % 7)} unseen{i}" for i in range(200)]
        expected, wrong = [model.predict_proba([text])[0] for text in texts], []
        barrier = threading.Barrier(8)

        def work(start, model=model, texts=texts, expected=expected, wrong=wrong, barrier=barrier):
            barrier.wait()
            for i in np.random.RandomState(start).permutation(len(texts)):
                if not np.allclose(model.predict_proba([texts[i]])[0], expected[i], atol=1e-6):
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="stops the server with a POSIX signal")
def test_command_serves_on_loopback_until_it_is_interrupted(path):
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-u", "-m", "transferkit", "serve", str(path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("serving on http://127.0.0.1:")
        request = urllib.request.Request(
            line.split()[2] + "/predict", b'{"texts": ["rows of a matrix"]}', {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert b'"predictions":["matrix"]' in answer.read()
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert errors == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="stops the server with POSIX signals")
def test_request_that_never_ends_does_not_keep_the_server_from_stopping(path):
    pytest.importorskip("uvicorn")
    code = "from transferkit.cli import _serve, main; _serve._SECONDS_TO_FINISH_REQUESTS = 1; main()"
    command = [sys.executable, "-u", "-c", code, "serve", str(path), "--port", "0"]
    for signals in ([signal.SIGTERM], [signal.SIGINT, signal.SIGINT]):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        port = int(process.stdout.readline().split()[2].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/model", timeout=30):
                pass  # so the request before has begun
            for sent in signals:
                process.send_signal(sent)
                time.sleep(0.2)
            try:
                _, errors = process.communicate(timeout=30)
            finally:
                process.kill()
        assert "Traceback" not in errors
        assert "CancelledError" not in errors


def test_request_that_does_not_arrive_in_time_is_answered_408(monkeypatch):
    monkeypatch.setattr(_serve, "_SECONDS_FOR_BODY", 0.01)
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    asyncio.run(_serve.BodyLimit(None, 10)({"type": "http", "headers": []}, never, send))
    assert sent[0]["status"] == 408
    assert "did not arrive" in json.loads(sent[1]["body"])["detail"]


ONE_LABEL = [2, 1] * 10
SEVERAL = np.array([[1, 0], [0, 1], [1, 1], [0, 1]] * 5)
PIPELINE = make_pipeline(TfidfEncoder(), LogisticHead())
REJECTING = [SelectiveClassifier(PIPELINE, coverage=0.7, method=method, cv=2) for method in ("probability", "both")]
WITH_TERMS = SelectiveClassifier(TransferClassifier(strategy="scratch"), coverage=0.7, cv=2)
LAST = SelectiveClassifier(LogisticHead(), coverage=0.7, method="both", cv=2)
TASKS = {
    "pipeline": (PIPELINE, ONE_LABEL),
    "transfer": (TransferClassifier(strategy="scratch"), ONE_LABEL),
    "regression": (TransferRegressor(TfidfEncoder(), strategy="scratch"), np.arange(20.0)),
    "several labels": (PIPELINE, SEVERAL),
    "rejecting by probability": (REJECTING[0], ONE_LABEL),
    "rejecting by both": (REJECTING[1], ONE_LABEL),
    "rejecting frozen": (WITH_TERMS, ONE_LABEL),
    "rejecting in a pipeline": (make_pipeline(TfidfEncoder(), LAST), ONE_LABEL),
}


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_encoded_once(task, tmp_path, monkeypatch):
    estimator, y = TASKS[task]
    model = clone(estimator).fit(TEXTS, y)
    transferkit.save(model, tmp_path / "m.tk")
    client, calls, encode = TestClient(make_app(tmp_path / "m.tk")), [], TfidfEncoder.encode
    monkeypatch.setattr(TfidfEncoder, "encode", lambda self, X: calls.append((id(self), list(X))) or encode(self, X))
    texts = [*TEXTS[:3], "zzzz qqqq"]
    answer = client.post("/predict", json={"texts": texts}).json()
    assert [found for _, found in calls] == [texts] * len({encoder for encoder, _ in calls})  # words, characters
    assert calls
    assert answer["predictions"] == model.predict(texts).tolist()
    if "regression" not in task:
        np.testing.assert_array_equal(answer["probabilities"], model.predict_proba(texts))
    if "rejecting" in task:
        assert answer["rejected"] == (~find_selective(model).is_accepted(encode_before(model, texts))).tolist()
        assert answer["rejected"][-1]


def encode_before(model, texts):
    return model[:-1].transform(texts) if isinstance(model, Pipeline) else texts


@pytest.mark.parametrize("task", ["pipeline", "transfer", "rejecting by both"])
def test_classes_have_the_type_of_predictions(task, tmp_path):
    estimator, y = TASKS[task]
    transferkit.save(clone(estimator).fit(TEXTS, y), tmp_path / "m.tk")
    assert TestClient(make_app(tmp_path / "m.tk")).post("/predict", json={"texts": TEXTS[:3]}).json()["classes"] == [
        1,
        2,
    ]


@pytest.mark.parametrize("head", [LogisticHead(), RidgeHead()])
def test_model_that_predicts_nan_is_refused_by_name(head, tmp_path):
    model = make_pipeline(TfidfEncoder(), head).fit(TEXTS, np.arange(len(TEXTS)) % 2)
    model[-1].intercept_ = model[-1].intercept_ * np.nan
    with pytest.warns(UserWarning, match="returns NaN"):
        transferkit.save(model, tmp_path / "m.tk")
    with pytest.raises(ModelFileError, match="cannot predict texts: The model predicts NaN or infinity"):
        make_app(tmp_path / "m.tk")


def test_predictions_that_are_not_numbers_are_a_named_error(path):
    app = make_app(path)
    head = app.state.model_file.current().head_
    head.intercept_ = head.intercept_ * np.nan  # as a text with a term of infinite weight would
    client = TestClient(app)
    answer = client.post("/predict", json={"texts": ["a matrix"]})
    assert answer.status_code == 500
    assert "The model predicts NaN or infinity" in answer.json()["detail"]
    answer = client.post("/explain", json={"text": "a matrix"})
    assert answer.status_code == 422
    assert "which cannot be explained" in answer.json()["detail"]
