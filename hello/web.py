"""The web application: which request counts, and in what form the number is told."""

import json
from asyncio import Event
from functools import lru_cache

from aiohttp import web, web_response
from prometheus_client import CONTENT_TYPE_LATEST

from hello import page
from hello.counter import Counter, RefusedError, Visit
from hello.events import Events
from hello.page import Greeter

TEXT, HTML, JSON = "text/plain", "text/html", "application/json"

# What aiohttp signs with. A hook cannot do this: it is not called for an answer to what is no HTTP.
web_response.SERVER_SOFTWARE = "hello"  # type: ignore[attr-defined]


def public_application(
    counter: Counter, store: str, leaving: Event, version: str | None = None, node: str | None = None
) -> web.Application:
    """Make what visitors reach. `store` is the kind of store, for the live page."""
    app = application(leaving)
    greeter = Greeter(counter.pod, version, node)
    visits = Visits(counter, greeter)
    app.router.add_get("/", visits.greet, allow_head=False)
    app.router.add_head("/", visits.head)
    app.router.add_get("/count", visits.count)
    app.router.add_get("/events", Events(counter, greeter, store, leaving).watch, allow_head=False)
    return app


def add_admin_routes(app: web.Application, counter: Counter) -> None:
    """Add what the cluster reaches: health, readiness and metrics."""
    admin = Admin(counter)
    app.router.add_get("/healthz", admin.healthz)
    app.router.add_get("/readyz", admin.readyz)
    app.router.add_get("/metrics", admin.metrics)


def application(leaving: Event) -> web.Application:
    """Make an application without routes; once `leaving` is set, its answers close their connections.

    So does an answer to `Hello-Connection: close`: a page may not send `Connection` itself
    (https://fetch.spec.whatwg.org/#forbidden-request-header), and each visit from it should find a pod anew.
    """

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        # The stream says no-cache: with no-store, a browser would not keep the page for "back", but come again.
        response.headers.setdefault("Cache-Control", "no-store")
        if leaving.is_set() or request.headers.get("Hello-Connection") == "close":
            response.headers["Connection"] = "close"
            response.force_close()

    app = web.Application()
    app.on_response_prepare.append(prepare)
    return app


class Visits:
    """The requests of visitors."""

    def __init__(self, counter: Counter, greeter: Greeter) -> None:
        self._counter = counter
        self._greeter = greeter

    async def greet(self, request: web.Request) -> web.Response:
        """Count a visitor; 503 with Retry-After if that cannot be done."""
        # A page that is fetched in advance may never be seen: https://fetch.spec.whatwg.org/#sec-purpose-header
        if request.headers.get("Sec-Purpose", "").startswith("prefetch"):
            return self._refuse_visit(RefusedError("prefetch", "A page fetched in advance is not a visit."))
        content_type = preferred_type(_accept(request))
        try:
            visit = await self._counter.next()
        except RefusedError as error:
            return self._refuse_visit(error, as_page=content_type == HTML)
        return _greeting(content_type, visit, self._greeter)

    async def head(self, request: web.Request) -> web.Response:
        """Answer with the headers of the page, and count nobody."""
        content_type = preferred_type(_accept(request))
        headers = page.HEADERS if content_type == HTML else None
        return web.Response(content_type=content_type, charset="utf-8", headers=headers)

    async def count(self, request: web.Request) -> web.Response:
        """Tell the total, and count nobody."""
        try:
            reading = await self._counter.read()
        except RefusedError as error:
            return _refusal(error)
        if preferred_type(_accept(request)) != JSON:
            return web.Response(text=f"{reading.count}\n")
        total = {"count": reading.count, "epoch": reading.epoch, "pods": dict(reading.pods)}
        return web.Response(text=json.dumps(total) + "\n", content_type=JSON)

    def _refuse_visit(self, error: RefusedError, *, as_page: bool = False) -> web.Response:
        self._counter.metrics.refused.labels(error.reason).inc()
        response = _refusal(error)
        if as_page:
            response.text, response.content_type = page.refusal(error), HTML
            response.headers.update(page.HEADERS)
        return response


def _accept(request: web.Request) -> str:
    """What the client takes; several lines are one list (RFC 9110, section 5.3)."""
    return ",".join(request.headers.getall("Accept", ()))


def _refusal(error: RefusedError) -> web.Response:
    return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "1"})


def _greeting(content_type: str, visit: Visit, greeter: Greeter) -> web.Response:
    (number, epoch), pod = visit, greeter.pod
    headers = {"Hello-Count": str(number), "Hello-Pod": pod, "Hello-Epoch": epoch}
    if greeter.version:
        headers["Hello-Version"] = greeter.version
    if content_type == JSON:
        text = json.dumps({"count": number, "pod": pod, "epoch": epoch}) + "\n"
    elif content_type == HTML:
        text = page.greeting(visit, greeter)
        headers |= page.HEADERS
    else:
        text = f"Hello, world! You are visitor {number}, greeted by {pod}.\n"
    return web.Response(text=text, content_type=content_type, headers=headers)


class Admin:
    """The requests of the cluster."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that this process is well, whatever the store does."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 once the store has answered this process: from then on a lost store must not empty the Service."""
        if self._counter.reached.is_set():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="The store has not answered yet.\n", headers={"Retry-After": "1"})

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return web.Response(body=self._counter.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@lru_cache(256)
def preferred_type(accept: str) -> str:
    """Choose what to answer to an Accept header: the type of highest weight, then the one named most exactly.

    Plain text where there is no preference. RFC 9110, section 12.5.1.
    """
    ranges = [_media_range(part) for part in accept.split(",")]
    return max((TEXT, HTML, JSON), key=lambda offer: _preference(offer, ranges))


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0


def _preference(offer: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """Weight and exactness of the range that names `offer` most exactly."""
    names = ("*/*", offer.split("/")[0] + "/*", offer)
    exactness, weight = max(((names.index(name), weight) for name, weight in ranges if name in names), default=(0, 0.0))
    return weight, exactness
