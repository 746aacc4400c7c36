"""A model behind HTTP: the application of `transferkit serve` and of examples/13_serving.py, and its limits."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from transferkit.cli._text_models import NotANumberError, load_text_model, predict_texts
from transferkit.exceptions import MissingExtraError
from transferkit.persistence import describe

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["BodyLimit", "ModelFile", "make_app", "run_server"]

_SECONDS_BETWEEN_CHECKS = 1.0
_SECONDS_TO_FINISH_REQUESTS = 5  # on shutdown; less than orchestrators wait before they kill a process
_SECONDS_FOR_BODY = 30.0  # the connection is closed if the request is not complete by then
_MOST_PROBLEMS = 10  # problems listed in one response


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
    describes the model. The file is checked on requests, at most once per second, and reloaded if it was replaced; if
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
        from fastapi import FastAPI, HTTPException
        from fastapi.exceptions import RequestValidationError
        from pydantic import BaseModel, Field, StringConstraints
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error

    model_file = ModelFile(path, mmap, verify_key, trusted)
    app = FastAPI(title="transferkit", summary=f"Predictions of {Path(path).name}")
    app.state.model_file = model_file
    app.add_middleware(BodyLimit, max_body=max_body)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
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
        values = {name: getattr(answer, name) for name in ("predictions", "classes", "probabilities", "rejected")}
        return {name: array.tolist() for name, array in values.items() if array is not None}

    @app.post("/explain")
    def explain_one(request: OneText):
        from transferkit.inspection import explain

        try:
            return _write_explanation(explain(model_file.current(), request.text), request.n)
        except (TypeError, ValueError) as error:  # the model is not linear in terms, or predicts NaN
            raise HTTPException(422, str(error)) from None

    @app.get("/model")
    def model():
        model_file.current()
        return model_file.description

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


def run_server(app, host, port, say):
    """Serve until interrupted; `say` is called with a message that contains the address. Port 0 selects a free one."""
    import socket

    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("transferkit serve", "serve") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        # responses are sent in two writes; without this the second waits 40 ms for the acknowledgement of the first
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if ":" in host else host
        say(f"serving on http://{shown}:{listener.getsockname()[1]} (see /docs)")
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_SECONDS_TO_FINISH_REQUESTS
        )
        uvicorn.Server(config).run(sockets=[listener])


async def _answer_invalid_request(request, error):
    """Respond with status 422 and the type, place and description of the first problems that pydantic found.

    The values that were sent are left out: they may be large, and some cannot be written as JSON (NaN, half of an
    emoji, bytes that are not UTF-8), so that the response itself would fail.
    """
    from starlette.responses import Response

    problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()[:_MOST_PROBLEMS]]
    return Response(json.dumps({"detail": problems}), status_code=422, media_type="application/json")


class BodyLimit:
    """ASGI middleware that rejects requests of more than `max_body` bytes, and bodies that do not arrive in time.

    A request that announces too large a size is rejected at once, any other as soon as it is too large.
    """

    def __init__(self, app, max_body):
        self.app, self.max_body = app, max_body

    async def __call__(self, scope, receive, send):
        """Read the body, and pass the request on if it is within the limit."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit():
            return await _reject(send, 400, "The content-length of a request must be a number of bytes.")
        if self._is_more_than_allowed(announced):
            return await self._reject_size(send)
        try:
            async with asyncio.timeout(_SECONDS_FOR_BODY):
                messages = await self._read(receive)
        except TimeoutError:
            return await _reject(send, 408, f"The request did not arrive within {_SECONDS_FOR_BODY:g} seconds.")
        except asyncio.CancelledError:  # re-raising it would print a traceback for each open request
            return await _reject(send, 503, "The server is stopping.")
        if messages is None:
            return await self._reject_size(send)
        messages.reverse()

        async def replay():
            return messages.pop() if messages else await receive()

        return await self.app(scope, replay, send)

    async def _read(self, receive):
        """Return the messages of a body, or None as soon as they have too many bytes."""
        messages, n_bytes = [], 0
        while True:
            message = await receive()
            messages.append(message)
            n_bytes += len(message.get("body", b""))
            if n_bytes > self.max_body:
                return None
            if message["type"] != "http.request" or not message.get("more_body"):
                return messages

    def _is_more_than_allowed(self, digits):
        digits = digits.lstrip(b"0") or b"0"  # Python does not convert thousands of digits, whatever their value
        return len(digits) > len(str(self.max_body)) or int(digits) > self.max_body

    async def _reject_size(self, send):
        await _reject(send, 413, f"A request may have at most {self.max_body} bytes.")


async def _reject(send, status, detail):
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
