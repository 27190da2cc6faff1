"""How a session reacts to a store that changes under it."""

from copy import deepcopy

from hello.counting.session import Session
from hello.stores import Reading
from hello.stores.memory import MemoryStore


async def test_nobody_gets_a_number_of_an_epoch_that_was_left() -> None:
    """An old copy of the store counted it again."""
    store, one, other = MemoryStore(), Session("one"), Session("other")
    for session in one, other:
        batch = session.batch(1)
        assert session.accept(batch, await store.commit(batch))
    copy = deepcopy(store)
    batch = other.batch(1)
    given = await store.commit(batch)
    assert other.accept(batch, given)

    lost = one.batch(1)
    one.read(Reading("9999999999999999-later", 0))
    again = await copy.commit(lost)
    assert again.top == given.top
    assert not one.accept(lost, again)


async def test_an_epoch_is_learned_of_by_a_batch_that_was_sent_before_a_reading_of_another_one() -> None:
    store, one, other = MemoryStore(), Session("one"), Session("other")
    for _ in range(2):  # a session's first batch is for nobody
        first = other.batch(1)
        other.accept(first, await store.commit(first))
    early = one.batch(1)
    one.read(await store.read("", 0))
    await store.reset("later", 0)
    given = await store.commit(early)
    assert one.accept(early, given)
    assert (one.epoch, one.seen) == (given.epoch, 0)
