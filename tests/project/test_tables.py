"""The tables that runs on a cluster write into the texts."""

from pathlib import Path

from tests.support.tables import update_table

TEXT = """# Faults

## First

| fault | visits |
| --- | ---: |
| one | 1 |
| two | 2 |

## Second

| fault | visits |
| --- | ---: |
| one | 9 |
"""


def test_a_row_takes_the_place_of_the_one_before_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(TEXT)
    table = update_table(file, {"two": ["20"], "three": ["30"]}, "## First")
    assert table == ["| fault | visits |", "| --- | ---: |", "| one | 1 |", "| two | 20 |", "| three | 30 |"]
    update_table(file, {"one": ["90"]}, "## Second")
    assert file.read_text() == TEXT.replace("| two | 2 |", "| two | 20 |\n| three | 30 |").replace(
        "one | 9 ", "one | 90 "
    )
