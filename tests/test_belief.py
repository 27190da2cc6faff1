"""What a process makes of a store that does not stay as it was."""

from copy import deepcopy

from hello.belief import Belief
from hello.stores import Reading
from hello.stores.memory import MemoryStore


async def test_a_number_of_an_epoch_that_was_left_is_given_to_nobody() -> None:
    """It was counted once more, in an old copy of the store."""
    store, one, other = MemoryStore(), Belief("one"), Belief("other")
    for belief in one, other:
        trip = belief.trip(1)
        assert belief.accept(trip, await store.take(trip))
    copy = deepcopy(store)
    trip = other.trip(1)
    given = await store.take(trip)
    assert other.accept(trip, given)

    lost = one.trip(1)
    one.read(Reading("9999999999999999-later", 0))
    again = await copy.take(lost)
    assert again.top == given.top
    assert not one.accept(lost, again)
