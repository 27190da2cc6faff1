"""Every link of every text leads to a file, and to a heading of it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [file for file in ROOT.rglob("*.md") if not re.match(r"[.]|build\b", str(file.relative_to(ROOT)))]
CODE = re.compile(r"^```.*?^```$|^ {4}.*?$|`[^`]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: Path) -> set[str]:
    """What a link may name after `#`: its headings, as GitHub writes them."""
    headings = HEADING.findall(re.sub(r"^```.*?^```$", "", text.read_text(), flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_every_link_leads_somewhere(text: Path) -> None:
    for link in LINK.findall(CODE.sub("", text.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (text.parent / name).resolve() if name else text
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
