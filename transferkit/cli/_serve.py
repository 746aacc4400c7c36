"""A model behind HTTP: the application of `transferkit serve` and of examples/13_serving.py."""

import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from transferkit.cli._requests import BodyLimit, answer_invalid_request
from transferkit.cli._text_models import NotANumberError, load_text_model, predict_texts
from transferkit.exceptions import MissingExtraError
from transferkit.persistence import describe

if TYPE_CHECKING:
    from fastapi import FastAPI

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_FINISH_REQUESTS = 5  # once the server is told to stop; less than what orchestrators wait before they kill


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

    ``POST /predict`` takes ``{"texts": [...]}`` and returns predictions and, where the model has them, probabilities;
    ``POST /explain`` takes ``{"text": "...", "n": 10}`` and returns the terms that mattered; ``GET /model`` says what
    the model is. A file that is replaced is loaded within a second of the next request; if the new one is
    damaged or no model of texts, the old one goes on, and ``GET /model`` says why.

    Parameters
    ----------
    path : str or path
        A model file.
    mmap : bool, default=False
        Map the arrays from the file, so that several servers share their memory. Then the file must be replaced as
        `save` and ``mv`` do it: one that is overwritten in place, as ``cp`` does, ends the process.
    verify_key : bytes, default=None
        Refuse files that are not signed with this secret, as `load` does.
    trusted : list of str or class, default=None
        Other classes and sentence models that the file may use, as `load` takes them.
    max_texts : int, default=100
        Most texts of one request.
    max_characters : int, default=100_000
        Most characters of one text.
    max_body : int, default=1_000_000
        Most bytes of one request.

    Returns
    -------
    app : FastAPI
        The application, which more routes may be added to; `app.state.model_file` is the loaded file.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or its model predicts nothing, takes something else than texts (a trial
        prediction is made), or reads files that its input names.
    MissingExtraError
        If FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI, HTTPException
        from fastapi.exceptions import RequestValidationError
        from pydantic import BaseModel, Field, StringConstraints
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error

    model_file = ModelFile(path, mmap, verify_key, trusted)
    app = FastAPI(title="transferkit", summary=f"Predictions of {Path(path).name}")
    app.state.model_file = model_file
    app.add_middleware(BodyLimit, max_body=max_body)
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    text_type = Annotated[str, StringConstraints(max_length=max_characters)]

    class Texts(BaseModel):
        texts: Annotated[list[text_type], Field(min_length=1, max_length=max_texts)]

    class OneText(BaseModel):
        text: text_type
        n: Annotated[int, Field(ge=1, le=1000)] = 10

    @app.post("/predict")
    def predict(request: Texts):
        try:
            answer = predict_texts(model_file.current(), request.texts)
        except NotANumberError as error:
            raise HTTPException(500, str(error)) from None
        if answer.classes is None:
            return {"predictions": answer.predictions.tolist()}
        return {
            "predictions": answer.predictions.tolist(),
            "classes": answer.classes.tolist(),
            "probabilities": answer.probabilities.tolist(),
        }

    @app.post("/explain")
    def explain_one(request: OneText):
        from transferkit.inspection import explain

        try:
            return _write_explanation(explain(model_file.current(), request.text), request.n)
        except (TypeError, ValueError) as error:  # the model is not linear in terms, or its answer is no number
            raise HTTPException(422, str(error)) from None

    @app.get("/model")
    def model():
        model_file.current()
        return model_file.description

    return app


def _write_explanation(explanation, n):
    """Return what an explanation says, with the `n` terms of largest contribution for each label, as JSON data."""
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
    """The model of a file, loaded again when the file is replaced.

    Parameters
    ----------
    path : str or path
        A model file.
    mmap : bool
        Whether its arrays are mapped.
    verify_key : bytes, default=None
        Secret that it must be signed with.
    trusted : list of str or class, default=None
        Other classes that it may hold.
    """

    def __init__(self, path, mmap, verify_key=None, trusted=None):
        self._path, self._mmap, self._verify_key = Path(path), mmap, verify_key
        self._trusted = trusted
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen = self._status()
        self._model, self._description = self._read()
        self._problem = None

    def current(self):
        """Return the model, after a look at the file if the last one is a second ago."""
        if time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS and self._lock.acquire(blocking=False):
            try:  # one request loads the new model, the others go on with the old one
                self._looked = time.monotonic()
                if (status := self._status()) != self._seen:
                    self._seen = status
                    self._replace()
            finally:
                self._lock.release()
        return self._model

    @property
    def description(self):
        """What the loaded file says about itself, as JSON data, and why a newer one was not taken."""
        return {**self._description, "file": self._path.name, "problem_with_newer_file": self._problem}

    def _replace(self):
        try:
            self._model, self._description = self._read()
            self._problem = None
        except Exception as error:  # whatever is wrong with it, the old model can answer
            self._problem = str(error).replace(os.fspath(self._path), self._path.name)

    def _read(self):
        model = load_text_model(self._path, mmap=self._mmap, verify_key=self._verify_key, trusted=self._trusted)
        _switch_caches_off(model)
        description = describe(self._path).to_dict()
        del description["path"]  # where files lie is nobody's business
        return model, description

    def _status(self):
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _switch_caches_off(value):
    """Make frozen encoders keep no rows: a server sees each text once, and its memory must not grow."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _switch_caches_off(item)
    elif hasattr(value, "get_params"):
        if "cache_size" in vars(value):
            value.cache_size = 0
        for item in vars(value).values():
            _switch_caches_off(item)


def run_server(app, host, port, say):
    """Serve until interrupted.

    Parameters
    ----------
    app : FastAPI
        The application.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    say : callable
        Told the address.
    """
    import socket

    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        # answers go out in two writes, and without this the second waits 40 ms for the client to confirm the first
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if ":" in host else host
        say(f"serving on http://{shown}:{listener.getsockname()[1]} (see /docs)")
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_SECONDS_TO_FINISH_REQUESTS
        )
        uvicorn.Server(config).run(sockets=[listener])
