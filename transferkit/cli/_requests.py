"""What of an HTTP request is refused before a model sees it, and how the refusal is worded."""

import asyncio
import json

_SECONDS_FOR_A_BODY = 30.0  # a client that has sent no whole request by then keeps its connection no longer
_MOST_PROBLEMS = 10  # that one answer names


async def answer_invalid_request(request, error):
    """Answer a request that does not validate: what is wrong and where, and nothing of what was sent.

    Values that clients send may be large, and may have no form in JSON (NaN, half of an emoji, bytes that are not
    UTF-8), so that an answer that repeated them would fail.

    Parameters
    ----------
    request : starlette.requests.Request
        Not looked at.
    error : fastapi.exceptions.RequestValidationError
        What pydantic found.

    Returns
    -------
    response : starlette.responses.Response
        Status 422, with the type, place and description of the first problems under "detail".
    """
    from starlette.responses import Response

    problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()[:_MOST_PROBLEMS]]
    return Response(json.dumps({"detail": problems}), status_code=422, media_type="application/json")


class BodyLimit:
    """Middleware that refuses requests of more bytes than allowed, and those whose body does not arrive in time.

    Announced sizes are refused at once, others as soon as they are too large.

    Parameters
    ----------
    app : callable
        The ASGI application behind it.
    max_body : int
        Most bytes of one request.
    """

    def __init__(self, app, max_body):
        self.app, self.max_body = app, max_body

    async def __call__(self, scope, receive, send):
        """Read the body, and pass the request on if it is within the limit."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit():
            return await _refuse(send, 400, "The content-length of a request must be a number of bytes.")
        if self._is_more_than_allowed(announced):
            return await self._refuse_size(send)
        try:
            async with asyncio.timeout(_SECONDS_FOR_A_BODY):
                messages = await self._read(receive)
        except TimeoutError:
            return await _refuse(send, 408, f"The request did not arrive within {_SECONDS_FOR_A_BODY:g} seconds.")
        except asyncio.CancelledError:  # raised further it would be a traceback for each open request
            return await _refuse(send, 503, "The server is stopping.")
        if messages is None:
            return await self._refuse_size(send)
        messages.reverse()

        async def replay():
            return messages.pop() if messages else await receive()

        return await self.app(scope, replay, send)

    async def _read(self, receive):
        """Return the messages of a body, None as soon as they have too many bytes."""
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
        digits = digits.lstrip(b"0") or b"0"  # Python refuses to convert thousands of digits, whatever their value
        return len(digits) > len(str(self.max_body)) or int(digits) > self.max_body

    async def _refuse_size(self, send):
        await _refuse(send, 413, f"A request may have at most {self.max_body} bytes.")


async def _refuse(send, status, detail):
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
