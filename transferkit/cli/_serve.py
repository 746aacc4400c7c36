"""A model behind HTTP: the application of `transferkit serve` and of examples/13_serving.py, and its limits."""

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import transferkit
from transferkit.cli._http import LOG, BodyLimit, RequestLog, answer_http_error, answer_invalid_request
from transferkit.cli._text_models import NotANumberError, check_predictions, load_text_model, predict_texts
from transferkit.exceptions import MissingExtraError
from transferkit.persistence import describe

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ModelFile", "make_app", "run_server"]

_SECONDS_BETWEEN_CHECKS = 1.0
_SECONDS_TO_FINISH_REQUESTS = 5  # on shutdown; less than orchestrators wait before they kill a process
_PAGE = Path(__file__).parent / "try.html"


def make_app(
    path: str | os.PathLike[str],
    *,
    mmap: bool = False,
    verify_key: bytes | None = None,
    trusted: Collection[str | type] | None = None,
    max_texts: int = 100,
    max_characters: int = 100_000,
    max_body: int = 1_000_000,
) -> "FastAPI":
    """Return a FastAPI application that serves the model of a file.

    ``POST /predict`` takes ``{"texts": [...]}`` and returns "predictions" and, if the model has them, "classes" and
    "probabilities"; if it is a :class:`SelectiveClassifier` also "rejected", a list of true and false. ``POST
    /explain`` takes ``{"text": "...", "n": 10}`` and returns the terms with the largest contributions; ``GET /model``
    describes the model; ``GET /health`` says by a trial prediction whether the server is ready; ``GET /docs`` is a page
    to try all of these, which needs no other host. Each request is one line, at level INFO, of the logger
    "transferkit.serve". The file is checked on requests, at most once per second, and reloaded if it was replaced; if
    the new one is damaged or does not predict texts, the old one stays in use, and ``GET /model`` reports the reason.

    Parameters
    ----------
    path : str or path
        A model file.
    mmap : bool, default=False
        Memory-map the arrays, so that several servers share their memory. Then the file must be replaced as `save` and
        ``mv`` do; overwriting it in place, as ``cp`` does, ends the process.
    verify_key : bytes, default=None
        Raise an error for files that are not signed with this secret key, as in `load`.
    trusted : list of str or class, default=None
        Other classes and sentence models that the file may use, as in `load`.
    max_texts : int, default=100
        Maximum number of texts per request.
    max_characters : int, default=100_000
        Maximum number of characters per text.
    max_body : int, default=1_000_000
        Maximum number of bytes per request.

    Returns
    -------
    app : FastAPI
        The application, to which routes may be added; `app.state.model_file` is the loaded file.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or its model has no `predict`, does not take texts (checked by a trial
        prediction), or reads files named by its input.
    MissingExtraError
        If FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI, HTTPException, Request
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import HTMLResponse, JSONResponse
        from pydantic import BaseModel, Field, StringConstraints
        from starlette.exceptions import HTTPException as AnyHTTPException
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error

    model_file = ModelFile(path, mmap, verify_key, trusted)
    # the pages of FastAPI are left out: they load their scripts from another host
    app = FastAPI(title=Path(path).name, version=transferkit.__version__, docs_url=None, redoc_url=None)
    app.state.model_file = model_file
    app.add_middleware(BodyLimit, max_body=max_body)
    app.add_middleware(RequestLog)
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    app.add_exception_handler(AnyHTTPException, answer_http_error)
    text_type = Annotated[str, StringConstraints(max_length=max_characters)]

    class Texts(BaseModel):
        texts: Annotated[list[text_type], Field(min_length=1, max_length=max_texts, examples=[["a text", "another"]])]

    class OneText(BaseModel):
        text: Annotated[text_type, Field(examples=["a text"])]
        n: Annotated[int, Field(ge=1, le=1000)] = 10

    @app.post("/predict", summary="Predict the labels of texts")
    def predict(texts: Texts, request: Request):
        request.state.n_texts = len(texts.texts)
        try:
            answer = predict_texts(model_file.current(), texts.texts)
        except NotANumberError as error:
            raise HTTPException(500, str(error)) from None
        values = {name: getattr(answer, name) for name in ("predictions", "classes", "probabilities", "rejected")}
        return {name: array.tolist() for name, array in values.items() if array is not None}

    @app.post("/explain", summary="Show the terms that decide the label of a text")
    def explain_one(text: OneText, request: Request):
        from transferkit.inspection import explain

        request.state.n_texts = 1
        try:
            return _write_explanation(explain(model_file.current(), text.text), text.n)
        except (TypeError, ValueError) as error:  # the model is not linear in terms, or predicts NaN
            raise HTTPException(422, str(error)) from None

    @app.get("/model", summary="Describe the model")
    def model():
        model_file.current()
        return model_file.description

    @app.get("/health", summary="Say whether the server is ready")
    def health():
        state = model_file.health()
        return JSONResponse(state, 200 if state["ready"] else 503)

    @app.get("/docs", include_in_schema=False)
    def docs():
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"))

    return app


def _write_explanation(explanation, n):
    """Return an explanation as JSON data, with the `n` terms of largest contribution per label."""
    return {
        "labels": [str(label) for label in explanation.labels],
        "decision": explanation.decision.tolist(),
        "intercept": explanation.intercept.tolist(),
        "terms": {
            str(label): [{"term": term, "contribution": value} for term, value in explanation.top(n, label)]
            for label in explanation.labels.tolist()
        },
    }


class ModelFile:
    """The model of a file, reloaded when the file is replaced; the arguments are those of `make_app`."""

    def __init__(self, path, mmap, verify_key=None, trusted=None):
        self._path, self._mmap, self._verify_key = Path(path), mmap, verify_key
        self._trusted = trusted
        self._lock = threading.Lock()
        self._checked_at = time.monotonic()
        self._loaded_status = self._status()
        self._model, self._description = self._read()
        self._problem = None

    def current(self):
        """Return the model, after checking the file if the last check was more than a second ago."""
        if time.monotonic() - self._checked_at > _SECONDS_BETWEEN_CHECKS and self._lock.acquire(blocking=False):
            try:  # one request loads the new model, the others use the old one meanwhile
                self._checked_at = time.monotonic()
                if (status := self._status()) != self._loaded_status:
                    self._loaded_status = status
                    self._replace()
            finally:
                self._lock.release()
        return self._model

    @property
    def description(self):
        """The description of the loaded file as JSON data, and the reason why a newer file was not loaded."""
        return {**self._description, "file": self._path.name, "problem_with_newer_file": self._problem}

    def health(self):
        """Return as JSON data whether a trial prediction succeeds, the reason if not, and which model it is."""
        try:
            check_predictions(self.current())
            problem = None
        except Exception as error:  # whatever happens, the server is not ready
            problem = str(error)
        return {
            "ready": problem is None,
            "model": self._path.name,
            "version": transferkit.__version__,
            "digest": self._description["digest"],
            "problem": problem or self._problem,
        }

    def _replace(self):
        try:
            self._model, self._description = self._read()
            self._problem = None
        except Exception as error:  # whatever is wrong with it, the old model stays in use
            self._problem = str(error).replace(os.fspath(self._path), self._path.name)

    def _read(self):
        model = load_text_model(self._path, mmap=self._mmap, verify_key=self._verify_key, trusted=self._trusted)
        _switch_caches_off(model)
        description = describe(self._path).to_dict()
        del description["path"]  # the location of files is not disclosed
        return model, description

    def _status(self):
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _switch_caches_off(value):
    """Switch off the caches of frozen encoders: a server sees most texts once, and its memory must not grow."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _switch_caches_off(item)
    elif hasattr(value, "get_params"):
        if "cache_size" in vars(value):
            value.cache_size = 0
        for item in vars(value).values():
            _switch_caches_off(item)


def run_server(app, host, port, say, quiet=False):
    """Serve until SIGTERM or SIGINT, and then finish the requests that have begun.

    `say` is called with a message that contains the address. Port 0 selects a free one. Requests are logged to stderr,
    unless `quiet`. OSError is raised if the server cannot listen there.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error
    with _listen(host, port) as listener, _log_requests(quiet):
        # responses are sent in two writes; without this the second waits 40 ms for the acknowledgement of the first
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        say(f"serving on {address} (try it: {address}/docs; end with Ctrl-C)")
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_SECONDS_TO_FINISH_REQUESTS
        )
        server = uvicorn.Server(config)
        with _signals_that_stop(server):
            server.run(sockets=[listener])


def _listen(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} of {host} is in use, perhaps by another server. Choose another --port; 0 finds one."
        elif isinstance(error, PermissionError):
            message = f"Port {port} needs the rights of an administrator. Choose a --port above 1023."
        else:
            reason = error.strerror.partition(" (while")[0]
            message = (
                f"The server cannot listen on --host {host}: {reason}. Use 127.0.0.1 for this machine alone or 0.0.0.0 "
                "for all its addresses."
            )
        raise OSError(message) from error


@contextlib.contextmanager
def _log_requests(quiet):
    """Write the log of requests to stderr, unless `quiet`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = LOG.level
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)


@contextlib.contextmanager
def _signals_that_stop(server):
    """Let SIGTERM and SIGINT end the server, and nothing else.

    uvicorn handles both while it runs, and raises them again at its end; by default these would kill the process or be
    printed as an interrupt, although every request was answered.
    """

    def stop(*_):
        server.should_exit = True

    handlers = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
