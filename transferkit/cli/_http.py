"""Requests and responses of the server: limits, log, and error messages that say what to change."""

import asyncio
import json
import logging
import time

__all__ = ["LOG", "BodyLimit", "RequestLog", "answer_http_error", "answer_invalid_request"]

LOG = logging.getLogger("transferkit.serve")

_SECONDS_FOR_BODY = 30.0  # the connection is closed if the request is not complete by then
_MOST_PROBLEMS = 10  # problems listed in one response
_LONGEST_LOGGED_PATH = 200
_EXAMPLES = {"/predict": '{"texts": ["a text"]}', "/explain": '{"text": "a text"}'}
_HINTS = {
    404: "There is no such path: /docs lists the paths, and is a page to try them.",
    405: "This path takes another method, such as POST. /docs shows what it takes.",
}


async def answer_invalid_request(request, error):
    """Respond with the type, place and description of the first problems that pydantic found.

    The status is 422, or 415 for a body that is not declared as JSON. The values that were sent are left out: they may
    be large, and some cannot be written as JSON (NaN, half of an emoji, bytes that are not UTF-8), so that the response
    itself would fail.
    """
    content_type = request.headers.get("content-type", "")
    if any(problem["loc"] == ("body",) for problem in error.errors()) and not _is_json(content_type):
        given = f"is {content_type[:100]!r}" if content_type else "is missing"
        return _json_response(
            415,
            f"The body must be JSON, and the content type {given}. Send the header 'content-type: application/json' "
            "(with curl: -H 'content-type: application/json').",
        )
    problems = [
        {"type": problem["type"], "loc": problem["loc"], "msg": _describe_problem(problem, request.url.path)}
        for problem in error.errors()[:_MOST_PROBLEMS]
    ]
    return _json_response(422, problems)


def _is_json(content_type):
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _describe_problem(problem, path):
    if problem["type"] == "json_invalid":
        return f"The body is not valid JSON at character {problem['loc'][-1]}: {problem['ctx']['error']}."
    if path in _EXAMPLES and (problem["loc"] == ("body",) or problem["type"] == "missing"):
        lacks = "" if problem["loc"] == ("body",) else f" with {problem['loc'][-1]!r}"
        return f"The body must be a JSON object{lacks}, such as {_EXAMPLES[path]}."
    if problem["type"] == "too_long":
        return f"{problem['msg']}. The server's option --max-texts sets this limit: send several requests."
    if problem["type"] == "string_too_long":
        return f"{problem['msg']}. The server's option --max-characters sets this limit."
    return problem["msg"]


async def answer_http_error(request, error):
    """Respond with the detail of an HTTPException, or with a hint where Starlette and FastAPI say less."""
    detail = error.detail
    if (
        error.status_code == 400 and error.__cause__ is not None
    ):  # the body could not be decoded or is nested too deeply
        detail = f"The body cannot be read as JSON: {error.__cause__}."
    elif error.status_code in _HINTS and detail in ("Not Found", "Method Not Allowed"):
        detail = _HINTS[error.status_code]
    return _json_response(error.status_code, detail, error.headers)


def _json_response(status, detail, headers=None):
    from starlette.responses import Response

    return Response(json.dumps({"detail": detail}), status, headers, media_type="application/json")


class RequestLog:
    """ASGI middleware that logs one line per request: method, path, status, number of texts and milliseconds."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Pass the request on, and log it when it has been answered."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), "-"  # without a response the client has gone
        state = scope.setdefault("state", {})

        async def watch(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception:
            status = 500
            raise
        finally:
            LOG.info(
                "%s %s status=%s texts=%d ms=%.1f",
                scope["method"],
                _printable(scope["path"]),
                status,
                state.get("n_texts", 0),
                1000 * (time.perf_counter() - start),
            )


def _printable(path):
    """Return a path as ASCII on one line, so that nobody can write lines of the log."""
    return path[:_LONGEST_LOGGED_PATH].encode("unicode_escape").decode("ascii")


class BodyLimit:
    """ASGI middleware that rejects requests of more than `max_body` bytes, and bodies that do not arrive in time.

    A request that announces too large a size is rejected at once, any other as soon as it is too large. The rest of its
    body is read and dropped: a client that is still sending when the connection is closed gets a connection error in
    place of the response.
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
        try:
            async with asyncio.timeout(_SECONDS_FOR_BODY):
                messages, unread = await self._read(announced, receive)
        except TimeoutError:
            return await _reject(send, 408, f"The request did not arrive within {_SECONDS_FOR_BODY:g} seconds.")
        except asyncio.CancelledError:  # re-raising it would print a traceback for each open request
            return await _reject(send, 503, "The server is stopping.")
        if messages is None:
            return await self._reject_size(receive if unread else _nothing, send)
        messages.reverse()

        async def replay():
            return messages.pop() if messages else await receive()

        return await self.app(scope, replay, send)

    async def _read(self, announced, receive):
        """Return the messages of a body, or None as soon as they have too many bytes, and whether there are more."""
        if self._is_more_than_allowed(announced):
            return None, True
        messages, n_bytes = [], 0
        while True:
            message = await receive()
            messages.append(message)
            n_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
            if n_bytes > self.max_body:
                return None, more
            if not more:
                return messages, False

    def _is_more_than_allowed(self, digits):
        digits = digits.lstrip(b"0") or b"0"  # Python does not convert thousands of digits, whatever their value
        return len(digits) > len(str(self.max_body)) or int(digits) > self.max_body

    async def _reject_size(self, receive, send):
        await _reject(
            send,
            413,
            f"A request may have at most {self.max_body} bytes, which the server's option --max-body sets: send fewer "
            "texts per request.",
            more_body=True,
        )
        try:
            async with asyncio.timeout(_SECONDS_FOR_BODY):
                while (await receive()).get("more_body"):
                    pass
        except (TimeoutError, asyncio.CancelledError):  # answered already; closing the connection is all that is left
            pass
        await send({"type": "http.response.body"})


async def _nothing():
    return {"type": "http.request"}


async def _reject(send, status, detail, more_body=False):
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})
