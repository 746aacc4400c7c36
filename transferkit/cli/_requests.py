"""HTTP requests that are rejected before the model sees them, and the responses to them."""

import asyncio
import json

__all__ = ["BodyLimit", "answer_invalid_request"]

_SECONDS_FOR_BODY = 30.0  # the connection is closed if the request is not complete by then
_MOST_PROBLEMS = 10  # problems listed in one response


async def answer_invalid_request(request, error):
    """Respond to an invalid request with the problems and their places, without the values that were sent.

    These values may be large, and some cannot be written as JSON (NaN, half of an emoji, bytes that are not UTF-8), so
    that a response that repeated them would fail.

    Parameters
    ----------
    request : starlette.requests.Request
        Ignored.
    error : fastapi.exceptions.RequestValidationError
        The problems that pydantic found.

    Returns
    -------
    response : starlette.responses.Response
        Status 422, with the type, place and description of the first problems under "detail".
    """
    from starlette.responses import Response

    problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()[:_MOST_PROBLEMS]]
    return Response(json.dumps({"detail": problems}), status_code=422, media_type="application/json")


class BodyLimit:
    """Middleware that rejects requests that are too large, and those whose body does not arrive in time.

    A request that announces too large a size is rejected at once, any other as soon as it is too large.

    Parameters
    ----------
    app : callable
        The wrapped ASGI application.
    max_body : int
        Maximum number of bytes per request.
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
