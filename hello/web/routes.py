"""Routes: the handler for each path and method."""

from asyncio import Event
from collections.abc import Awaitable, Callable

from aiohttp.hdrs import CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER
from aiohttp.web import BaseRequest, Response, StreamResponse
from multidict import istr
from prometheus_client import CONTENT_TYPE_LATEST

from hello.counting.counter import Counter
from hello.web.events import Events
from hello.web.page import Greeter
from hello.web.visits import Visits

HELLO_CONNECTION = istr("Hello-Connection")
"""As an istr, it is case-folded once, not for each request."""

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


async def healthz(_: BaseRequest) -> Response:
    """Answer 200, whatever the state of the store."""
    return Response(text="ok\n")


class Routes:
    """The handlers by path and method. Once `leaving` is set, answers close their connections."""

    def __init__(self, leaving: Event) -> None:
        self._leaving = leaving
        self._paths: dict[str, dict[str, Handler]] = {}
        self.add("/healthz", GET=healthz, HEAD=healthz)  # on every port: balancers probe the one that they serve

    def add(self, path: str, **handlers: Handler) -> None:
        """Route a path by method; aiohttp leaves out the body of an answer to HEAD."""
        self._paths[path] = handlers

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        handlers = self._paths.get(request.raw_path) or self._paths.get(request.path)
        if handlers is None:
            response: StreamResponse = Response(status=404, text="404: Not Found\n")
        elif handler := handlers.get(request.method):
            response = await handler(request)
        else:  # RFC 9110, section 15.5.6
            allowed = {"Allow": ",".join(handlers)}
            response = Response(status=405, text="405: Method Not Allowed\n", headers=allowed)
        if not response.prepared:  # the stream has said this already, and says no-cache: see there
            response.headers.setdefault(CACHE_CONTROL, "no-store")
            if self._leaving.is_set() or request.headers.get(HELLO_CONNECTION) == "close":
                response.force_close()
        return response


def public_routes(counter: Counter, greeter: Greeter, visits: Visits, leaving: Event) -> Routes:
    routes = Routes(leaving)
    routes.add("/", GET=visits.greet, HEAD=visits.head)
    routes.add("/count", GET=visits.count, HEAD=visits.count)
    routes.add("/events", GET=Events(counter, greeter, leaving).watch)
    return routes


def add_admin_routes(routes: Routes, counter: Counter) -> None:
    """Add readiness and metrics."""

    async def readyz(_: BaseRequest) -> Response:
        """Answer 200 once the store has answered; later, a lost store must not empty the Service."""
        if counter.state.reached.is_set():
            return Response(text="ok\n")
        text = ": ".join(filter(None, ("The store has not answered yet", counter.state.reason)))
        return Response(status=503, text=f"{text}.\n", headers={RETRY_AFTER: "1"})

    async def metrics(_: BaseRequest) -> Response:
        return Response(body=counter.metrics.text(), headers={CONTENT_TYPE: CONTENT_TYPE_LATEST})

    routes.add("/readyz", GET=readyz, HEAD=readyz)
    routes.add("/metrics", GET=metrics, HEAD=metrics)
