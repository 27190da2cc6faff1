"""Real servers that lie to one visitor in 10,000 are found out."""

import pytest

from hello.check.history import Kind
from tests.check.commands import check
from tests.check.servers import (
    LIE,
    Cached,
    Careless,
    Counter,
    Duplicate,
    Forgotten,
    GoneBack,
    Skipped,
    Swapped,
    TwoCounters,
    serving,
)

RARELY = ("--requests", str(2 * LIE), "--connections=kept", "--alone", "--json")


async def test_a_server_that_does_not_lie_is_not_accused() -> None:
    async with serving(Counter()) as url:
        result = await check(url, *RARELY, "--requests", "2005")
    assert (result.status, result.report["visits"], result.report["final"]) == (0, {"answered": 2005}, 2005)


@pytest.mark.parametrize(
    ("liar", "kind"),
    [
        (Duplicate, Kind.GIVEN_TWICE),
        (Forgotten, Kind.FORGOTTEN),
        (Swapped, Kind.OUT_OF_ORDER),
        (Cached, Kind.GIVEN_TWICE),
        (GoneBack, Kind.READ_WENT_BACK),
        (Skipped, Kind.SKIPPED),
        (TwoCounters, Kind.EPOCHS_IN_TURN),
    ],
)
@pytest.mark.long
async def test_one_lie_in_ten_thousand_answers_is_found(liar: type[Counter], kind: Kind) -> None:
    async with serving(liar()) as url:
        result = await check(url, *RARELY)
    assert result.status == 1
    assert kind in result.kinds


@pytest.mark.long
async def test_answers_that_are_not_as_they_should_be_are_found() -> None:
    async with serving(Careless()) as url:
        result = await check(url, *RARELY)
    assert result.status == 1
    assert result.kinds == {Kind.CONTRADICTION, Kind.CACHED, Kind.STORABLE, Kind.NO_NUMBER, Kind.NO_RETRY_AFTER}
