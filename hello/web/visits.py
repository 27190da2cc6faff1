"""The requests of visitors: which of them counts, and in what form the number is told."""

import json

from aiohttp.hdrs import ACCEPT, CACHE_CONTROL, CONTENT_TYPE
from aiohttp.web import BaseRequest, Response
from multidict import istr

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.web import page
from hello.web.accept import HTML, JSON, preferred_type
from hello.web.page import Greeter

SEC_PURPOSE = istr("Sec-Purpose")
HELLO_COUNT, HELLO_POD, HELLO_EPOCH = istr("Hello-Count"), istr("Hello-Pod"), istr("Hello-Epoch")
HELLO_VERSION = istr("Hello-Version")
"""Names that need not be folded to one case for each visitor."""


class Visits:
    """Who comes to be counted, and who only looks."""

    def __init__(self, counter: Counter, greeter: Greeter) -> None:
        self._counter = counter
        self._greeter = greeter

    async def greet(self, request: BaseRequest) -> Response:
        """Count a visitor; 503 with Retry-After if that cannot be done."""
        # A page that is fetched in advance may never be seen: https://fetch.spec.whatwg.org/#sec-purpose-header
        if request.headers.get(SEC_PURPOSE, "").startswith("prefetch"):
            return self._refuse_visit(RefusedError("prefetch", "A page fetched in advance is not a visit."))
        content_type = _preferred(request)
        try:
            visit = await self._counter.next()
        except RefusedError as error:
            return self._refuse_visit(error, page_wanted=content_type == HTML)
        return _greeting(content_type, visit, self._greeter)

    async def head(self, request: BaseRequest) -> Response:
        """Answer with the headers of the page, and count nobody."""
        content_type = _preferred(request)
        headers = page.HEADERS if content_type == HTML else None
        return Response(content_type=content_type, charset="utf-8", headers=headers)

    async def count(self, request: BaseRequest) -> Response:
        """Tell the total and who tells it, and count nobody."""
        headers = {HELLO_POD: self._greeter.pod}
        try:
            reading = await self._counter.read()
        except RefusedError as error:
            return self._refusal(error)
        if _preferred(request) != JSON:
            return Response(text=f"{reading.count}\n", headers=headers)
        total = {"count": reading.count, "epoch": reading.epoch, "pods": dict(reading.pods)}
        return Response(text=json.dumps(total) + "\n", content_type=JSON, headers=headers)

    def _refuse_visit(self, error: RefusedError, *, page_wanted: bool = False) -> Response:
        self._counter.metrics.refused.labels(error.reason).inc()
        response = self._refusal(error)
        if page_wanted:
            response.text, response.content_type = page.refusal(error, self._greeter), HTML
            response.headers.update(page.HEADERS)
        return response

    def _refusal(self, error: RefusedError) -> Response:
        """Say who refuses: a proxy's own 503 does not."""
        return Response(status=503, text=f"{error}\n", headers={"Retry-After": "1", HELLO_POD: self._greeter.pod})


def _preferred(request: BaseRequest) -> str:
    return preferred_type(request.headers.getall(ACCEPT, ("",)))


def _greeting(content_type: str, visit: Visit, greeter: Greeter) -> Response:
    (number, epoch), pod = visit, greeter.pod
    if content_type == JSON:
        text = json.dumps({"count": number, "pod": pod, "epoch": epoch}) + "\n"
    elif content_type == HTML:
        text = page.greeting(visit, greeter)
    else:
        text = f"Hello, world! You are visitor {number}, greeted by {pod}.\n"
    response = Response(
        body=text.encode(),
        headers=[
            (CONTENT_TYPE, f"{content_type}; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (HELLO_COUNT, str(number)),
            (HELLO_POD, pod),
            (HELLO_EPOCH, epoch),
        ],
    )
    if greeter.version:
        response.headers[HELLO_VERSION] = greeter.version
    if content_type == HTML:
        response.headers.update(page.HEADERS)
    return response
