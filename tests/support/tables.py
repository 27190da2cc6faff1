"""Tables of Markdown, kept up to date by the runs that measure what is in them."""

import re
from pathlib import Path

SEPARATOR = re.compile(r"^\| :?-+:? .*\n", re.MULTILINE)


def update_table(file: Path, rows: dict[str, list[str]], heading: str = "") -> list[str]:
    """Put rows, by their first cell, into the first table after a heading; its lines.

    A row takes the place of the one with the same first cell, or comes last. Rows that were not measured stay.
    """
    text = file.read_text()
    begin = text.index("| ", text.index(heading))
    separator = SEPARATOR.search(text, begin)
    assert separator, file
    end = text.find("\n\n", begin) % len(text)
    known = {cells[0]: cells[1:] for cells in map(_cells, text[separator.end() : end].splitlines())}
    lines = [_line([name, *cells]) for name, cells in (known | rows).items()]
    file.write_text(text[: separator.end()] + "\n".join(lines) + text[end:].rstrip("\n") + "\n")
    return [*text[begin : separator.end()].splitlines(), *lines]


def _cells(line: str) -> list[str]:
    return line.removeprefix("| ").removesuffix(" |").split(" | ")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
