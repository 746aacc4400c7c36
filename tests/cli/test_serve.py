"""A served model predicts, within limits, also after its file is replaced by a better or by a broken one."""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

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
from transferkit.cli import _http, _serve, main, make_app
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
    monkeypatch.setattr(_serve, "run_server", lambda app, *_, **__: apps.append(app))
    assert run("serve", path, "--max-body", 50, "--max-texts", 2, "--max-characters", 9)[0] == 0
    client = TestClient(apps[0])
    limits = {"--max-texts": (3, 1, 422), "--max-characters": (1, 10, 422), "--max-body": (1, 60, 413)}
    for option, (n_texts, n_letters, status) in {"": (2, 5, 200), **limits}.items():
        answer = client.post("/predict", json={"texts": ["a" * n_letters] * n_texts})
        assert answer.status_code == status
        assert option in answer.text


@pytest.mark.parametrize(
    "options",
    [
        ("--max-body", 0),
        ("--max-body", -1),
        ("--max-texts", 0),
        ("--max-characters", 0),
        ("--port", 65536),
        ("--port", -1),
    ],
)
def test_impossible_limits_and_ports_are_rejected(options, path, run):
    code, out, error = run("serve", path, *options)
    assert (code, out) == (2, "")
    assert error.startswith(f"Error: Invalid value for '{options[0]}': {options[1]} is not in the range")


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b'{"texts":["a"]}', {"content-type": ""}, 415, "the content type is missing"),
        (b'{"texts":["a"]}', {"content-type": "text/plain"}, 415, "the content type is 'text/plain'"),
        (b'{"texts":["a",]}', {}, 422, "not valid JSON at character 14: "),
        (b'{"texts":["\xff"]}', {}, 400, "can't decode byte 0xff in position 11"),
        (b"[" * 2000, {}, 400, "recursion"),
        (b"", {}, 422, """The body must be a JSON object, such as {\\"texts\\": [\\"a text\\"]}."""),
        (b'["a"]', {}, 422, """The body must be a JSON object, such as {\\"texts\\": [\\"a text\\"]}."""),
        (b'{"text":"a"}', {}, 422, """The body must be a JSON object with 'texts', such as """),
        (b'{"texts":["a"]}', {"content-type": "application/vnd.api+json; charset=utf-8"}, 200, "matrix"),
    ],
)
def test_body_that_is_not_json_is_answered_with_the_reason(client, body, headers, status, message):
    answer = client.post("/predict", content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status
    assert message in json.dumps(answer.json(), ensure_ascii=False)
    assert status != 415 or "-H 'content-type: application/json'" in answer.json()["detail"]


def test_invalid_requests_of_routes_that_were_added_are_answered(path):
    app = make_app(path)

    @app.post("/own")
    def own(n: int):
        return n

    answer = TestClient(app).post("/own")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "Field required"


def test_wrong_path_and_wrong_method_point_to_the_page(client):
    for answer, status in ((client.get("/predcit"), 404), (client.get("/predict"), 405)):
        assert answer.status_code == status
        assert "/docs" in answer.json()["detail"]


def test_page_to_try_the_server_needs_no_other_host(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "fetch(" in page.text
    assert "//" not in page.text.replace("\n", " ")
    assert client.get("/redoc").status_code == 404
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Texts"]["properties"]["texts"]["examples"]  # from which the page makes its requests


def test_health_is_that_of_a_trial_prediction(client, path):
    answer = client.get("/health")
    assert answer.status_code == 200
    expected = {"ready": True, "model": "model.tk", "version": transferkit.__version__, "problem": None}
    assert answer.json() == expected | {"digest": transferkit.describe(path).digest}
    head = client.app.state.model_file.current().head_
    head.intercept_ = head.intercept_ * np.nan
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert "NaN" in answer.json()["problem"]


def test_each_request_is_one_line_of_the_log(client, caplog, monkeypatch):
    with caplog.at_level("INFO", "transferkit.serve"):
        client.post("/predict", json={"texts": TEXTS[:3]})
        client.post("/explain", json={"text": "a"})
        client.post("/predict", content=b"x" * 3000)
        client.get("/no%0Aline")
        monkeypatch.setattr(_serve, "predict_texts", lambda *_: 1 / 0)
        client.post("/predict", json={"texts": TEXTS[:2]})
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ms=")[0] for line in lines] == [
        "POST /predict status=200 texts=3",
        "POST /explain status=200 texts=1",
        "POST /predict status=413 texts=0",
        "GET /no\\nline status=404 texts=0",
        "POST /predict status=500 texts=2",
    ]
    assert all(float(line.rpartition("=")[2]) > 0 for line in lines)


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
    assert answer.status_code in (200, 400, 413, 415, 422)
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


SLOW = """
import time
from transferkit.cli import _serve, main
_serve._SECONDS_TO_FINISH_REQUESTS = 2
predict = _serve.predict_texts
_serve.predict_texts = lambda *args: time.sleep(0.5) or predict(*args)
main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="stops the server with POSIX signals")
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_server_that_is_told_to_stop_answers_open_requests_and_waits_for_no_endless_one(path, signals):
    pytest.importorskip("uvicorn")
    options = ["--quiet"] if len(signals) > 1 else []
    command = [sys.executable, "-P", "-u", "-c", SLOW, "serve", str(path), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("serving on http://127.0.0.1:")
        port = int(line.split()[2].rpartition(":")[2])
        with (
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client,
            socket.create_connection(("127.0.0.1", port)) as endless,
        ):
            client.request("POST", "/predict", bytes(8_000_000))  # sends all of it before it reads the response
            with client.getresponse() as answer:
                assert answer.status == 413
            endless.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{")
            body, headers = b'{"texts": ["rows of a matrix"]}', {"content-type": "application/json"}
            client.request("POST", "/predict", body, headers)
            time.sleep(0.2)
            process.send_signal(signals[0])
            with client.getresponse() as answer:
                assert answer.status == 200
                assert b'"predictions":["matrix"]' in answer.read()
            for sent in signals[1:]:
                process.send_signal(sent)
            _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    logged = [line.split(" ", 2)[2].rpartition(" ")[0] for line in errors.splitlines() if "texts=" in line]
    statuses = {413: 0, 200: 1, 503: 0}
    assert logged == ([] if options else [f"POST /predict status={s} texts={n}" for s, n in statuses.items()])
    assert "Traceback" not in errors
    assert "CancelledError" not in errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="other systems let two servers listen on one port")
def test_address_that_cannot_be_listened_on_is_a_plain_message(path, run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = run("serve", path, "--port", port)
    assert code == 2
    assert error.startswith(f"Error: Port {port} of 127.0.0.1 is in use")
    assert "--port; 0 finds one" in error
    code, _, error = run("serve", path, "--host", "192.0.2.1")  # an address for documentation, which no machine has
    assert code == 2
    assert "cannot listen on --host 192.0.2.1" in error
    assert "while attempting" not in error


def test_request_that_does_not_arrive_in_time_is_answered_408(monkeypatch):
    monkeypatch.setattr(_http, "_SECONDS_FOR_BODY", 0.01)
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    asyncio.run(_http.BodyLimit(None, 10)({"type": "http", "headers": []}, never, send))
    assert sent[0]["status"] == 408
    assert "did not arrive" in json.loads(sent[1]["body"])["detail"]


@pytest.mark.parametrize("announced", [[(b"content-length", b"30")], []])
def test_body_that_is_too_large_is_read_to_its_end_and_no_further(announced):
    parts = [{"type": "http.request", "body": b"x" * 15, "more_body": more} for more in (True, False)]
    for messages in (parts, parts[1:]):
        left, sent = iter(messages), []

        async def receive(left=left):
            return next(left)

        async def send(message, sent=sent):
            sent.append(message)

        scope = {"type": "http", "headers": announced}
        asyncio.run(_http.BodyLimit(None, 10)(scope, receive, send))
        assert list(left) == []
        assert sent[0]["status"] == 413
        assert not sent[-1].get("more_body")


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
