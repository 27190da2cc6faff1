"""The live page, whole in one answer: no later request for a part of it can go astray.

A part would be asked for at an address that a proxy's prefix may have changed, and be answered by another pod, which is
of another version during a rollout.
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
    """What allows just this content: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


SCRIPTS = "elements.js", "stream.js", "store.js", "total.js", "pods.js", "visits.js", "begin.js"
PAGE, STYLE, SCRIPT = _text("page.html"), _text("page.css"), "\n".join(map(_text, SCRIPTS))

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src {_source(SCRIPT)}; style-src {_source(STYLE)};"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Greeter(NamedTuple):
    """Who greets: a pod, and its version and node if they were told."""

    pod: str
    version: str | None = None
    node: str | None = None


def greeting(visit: Visit, greeter: Greeter) -> str:
    """The page of a visitor who was counted."""
    number, epoch = visit
    told = [("version", greeter.version), ("node", greeter.node)]
    where = ", ".join(f'{what} <b id="{what}">{escape(name)}</b>' for what, name in told if name)
    you = f'You are visitor <strong id="number">{number}</strong> greeted by <b id="greeter">{escape(greeter.pod)}</b>'
    return _page(f"Visitor {number}", f'{you} <span id="where">{where}</span>', epoch)


def refusal(error: RefusedError) -> str:
    """The page of a visitor who was not counted."""
    return _page("Not counted", f'You were not counted: {escape(str(error))} <a href="">Try again</a>')


def _page(title: str, you: str, epoch: str = "") -> str:
    return PAGE.format(title=title, you=you, epoch=escape(epoch), style=STYLE, script=SCRIPT)
