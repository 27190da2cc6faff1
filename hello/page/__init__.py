"""The live page, whole in one answer: no later request for a part of it can go astray.

A part would be asked for at an address that a proxy's prefix may have changed, and be answered by another pod, which is
of another version during a rollout.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

from hello.counter import RefusedError, Visit


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _source(content: str) -> str:
    """What allows just this content: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


PAGE, STYLE, SCRIPT = _text("page.html"), _text("page.css"), _text("page.js")

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src {_source(SCRIPT)}; style-src {_source(STYLE)};"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def greeting(visit: Visit, pod: str) -> str:
    """The page of a visitor who was counted."""
    you = f'You are visitor <strong id="number">{visit.number}</strong> greeted by <b id="greeter">{escape(pod)}</b>'
    return _page(f"Visitor {visit.number}", you, visit.epoch)


def refusal(error: RefusedError) -> str:
    """The page of a visitor who was not counted."""
    return _page("Not counted", f'You were not counted: {escape(str(error))} <a href="">Try again</a>')


def _page(title: str, you: str, epoch: str = "") -> str:
    return PAGE.format(title=title, you=you, epoch=escape(epoch), style=STYLE, script=SCRIPT)
