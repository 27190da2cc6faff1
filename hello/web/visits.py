"""Answers to visitors: which requests count, and the content types of the answers."""

import json
from http import HTTPStatus
from typing import NamedTuple

from aiohttp.hdrs import ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER
from aiohttp.web import BaseRequest, Response
from multidict import istr

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.web import page
from hello.web.accept import HTML, JSON, TEXT, preferred_type
from hello.web.page import Greeter

SEC_PURPOSE = istr("Sec-Purpose")
"""As an istr, it is case-folded once, not for each visitor."""


class Answer(NamedTuple):
    """What a visitor is told."""

    status: HTTPStatus
    headers: list[tuple[str, str]]
    text: str

    def response(self) -> Response:
        return Response(status=self.status, headers=self.headers, body=self.text.encode())


class Visits:
    """The handlers of `/` and `/count`."""

    def __init__(self, counter: Counter, greeter: Greeter) -> None:
        self._counter = counter
        self._greeter = greeter

    async def greet(self, request: BaseRequest) -> Response:
        """Count a visitor; 503 with Retry-After if that cannot be done."""
        # A prefetched page may never be seen: https://fetch.spec.whatwg.org/#sec-purpose-header
        if request.headers.get(SEC_PURPOSE, "").startswith("prefetch"):
            return self.refuse(RefusedError("prefetch", "A page fetched in advance is not a visit."), TEXT).response()
        content_type = _preferred(request)
        try:
            visit = await self._counter.join()
        except RefusedError as error:
            return self.refuse(error, content_type).response()
        return self.greeting(content_type, visit).response()

    async def head(self, request: BaseRequest) -> Response:
        """Answer with the headers of the page, without counting."""
        content_type = _preferred(request)
        headers = page.HEADERS if content_type == HTML else None
        return Response(content_type=content_type, charset="utf-8", headers=headers)

    async def count(self, request: BaseRequest) -> Response:
        """Answer with the total, without counting."""
        headers = {"Hello-Pod": self._greeter.pod}
        try:
            reading = await self._counter.read()
        except RefusedError as error:
            return self._refusal(error, TEXT).response()
        if _preferred(request) != JSON:
            return Response(text=f"{reading.count}\n", headers=headers)
        total = {"count": reading.count, "epoch": reading.epoch, "pods": dict(reading.pods)}
        return Response(text=json.dumps(total) + "\n", content_type=JSON, headers=headers)

    def greeting(self, content_type: str, visit: Visit) -> Answer:
        (number, epoch), greeter = visit, self._greeter
        if content_type == JSON:
            text = json.dumps({"count": number, "pod": greeter.pod, "epoch": epoch}) + "\n"
        elif content_type == HTML:
            text = page.greeting(visit, greeter)
        else:
            text = f"Hello, world! You are visitor {number}, greeted by {greeter.pod}.\n"
        headers = [("Hello-Count", str(number)), ("Hello-Pod", greeter.pod), ("Hello-Epoch", epoch)]
        if greeter.version:
            headers.append(("Hello-Version", greeter.version))
        return _answer(HTTPStatus.OK, content_type, headers, text)

    def refuse(self, error: RefusedError, content_type: str) -> Answer:
        self._counter.metrics.refused.labels(error.reason).inc()
        return self._refusal(error, content_type)

    def _refusal(self, error: RefusedError, content_type: str) -> Answer:
        """Name the pod, to tell this 503 from a proxy's own."""
        is_page = content_type == HTML
        text = page.refusal(error, self._greeter) if is_page else f"{error}\n"
        headers: list[tuple[str, str]] = [(RETRY_AFTER, "1"), ("Hello-Pod", self._greeter.pod)]
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, HTML if is_page else TEXT, headers, text)


def _preferred(request: BaseRequest) -> str:
    return preferred_type(request.headers.getall(ACCEPT, ("",)))


def _answer(status: HTTPStatus, content_type: str, headers: list[tuple[str, str]], text: str) -> Answer:
    general = [(CONTENT_TYPE, f"{content_type}; charset=utf-8"), (CACHE_CONTROL, "no-store")]
    return Answer(status, general + headers + (list(page.HEADERS.items()) if content_type == HTML else []), text)
