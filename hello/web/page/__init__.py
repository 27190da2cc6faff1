"""The live page, complete in one response, so that no later request for a part of it can go wrong.

A proxy's prefix may change a part's address, and during a rollout a pod of another version may answer.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import NamedTuple

from hello.counting.queue import RefusedError, Visit


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _source(content: str) -> str:
    """Allow exactly this content: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


SCRIPTS = "elements", "requests", "windows", "stream", "store", "total", "pods", "visits", "begin"
PAGE, STYLE = _text("page.html"), _text("page.css")
SCRIPT = "\n".join(_text(f"{name}.js") for name in SCRIPTS)

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src {_source(SCRIPT)}; style-src {_source(STYLE)};"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Greeter(NamedTuple):
    """The pod that greets, the kind of its store, and its version and node, if set."""

    pod: str
    store: str
    version: str | None = None
    node: str | None = None


def greeting(visit: Visit, greeter: Greeter) -> str:
    number, epoch = visit
    told = [("version", greeter.version), ("node", greeter.node)]
    where = ", ".join(f'{what} <b id="{what}">{escape(name)}</b>' for what, name in told if name)
    you = f'You are visitor <strong id="number">{number}</strong> greeted by <b id="greeter">{escape(greeter.pod)}</b>'
    return _page(f"Visitor {number}", f'{you} <span id="where">{where}</span>', greeter.store, epoch)


def refusal(error: RefusedError, greeter: Greeter) -> str:
    return _page("Not counted", f'You were not counted: {escape(str(error))} <a href="">Try again</a>', greeter.store)


def _page(title: str, you: str, store: str, epoch: str = "") -> str:
    return PAGE.format(title=title, you=you, store=store, epoch=escape(epoch), style=STYLE, script=SCRIPT)
