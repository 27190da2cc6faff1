"""The judge accuses no honest counter, and finds every liar."""

import json
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from subprocess import PIPE
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hello.check.history import NEVER_COUNTED, Kind, Outcome, Record, line
from hello.check.judging.judge import Judge
from hello.check.judging.verdict import Allowance, Rules, Verdict
from tests.check.commands import COMMAND
from tests.check.simulator import Fate, Step, random_steps, simulate
from tests.support.records import changed, judged, recorded

TIMES = st.integers(0, 6)


def steps(*fates: Fate) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.builds(Step, TIMES, TIMES, TIMES, st.sampled_from(fates)), max_size=40)


def kinds(verdict: Verdict) -> set[Kind]:
    return set(verdict.findings)


def visit(number: int, sent: int, answered: int, epoch: str = "e", pod: str = "a") -> Record:
    return recorded(sent, answered, number=number, status=200, pod=pod, epoch=epoch)


def read(number: int, sent: int, answered: int, epoch: str = "e") -> Record:
    return recorded(sent, answered, number=number, read=True, status=200, epoch=epoch)


def failed(sent: int, outcome: Outcome = Outcome.RESET, answered: int | None = None) -> Record:
    return recorded(sent, sent + 1 if answered is None else answered, outcome)


# ---- the honest


@given(steps(*set(Fate) - {Fate.STOLEN, Fate.RESET}), st.randoms(use_true_random=False))
def test_an_honest_counter_with_failures_is_never_accused(history: list[Step], random: Random) -> None:
    records = list(simulate(history))
    random.shuffle(records)
    assert not judged(records, alone=True).findings


@given(steps(Fate.ANSWERED, Fate.READ, Fate.STOLEN, Fate.COUNTED))
def test_other_visitors_make_gaps_but_break_nothing_unless_we_were_alone(history: list[Step]) -> None:
    assert not judged(list(simulate(history))).findings


@given(steps(*set(Fate) - {Fate.STOLEN}))
def test_an_announced_reset_breaks_nothing(history: list[Step]) -> None:
    assert not judged(list(simulate(history)), alone=True, reset=True).findings


@pytest.mark.parametrize("seed", range(4))
def test_honest_counters_of_many_tempers_are_never_accused(seed: int) -> None:
    random = Random(seed)
    gap, spread, failures = random.choice((1, 3, 1000)), random.choice((2, 100, 10**5)), random.choice((0.001, 0.3))
    records = list(simulate(random_steps(random, 30_000, gap, spread, failures)))
    assert not judged(records, alone=True).findings


@pytest.mark.long
def test_a_million_honest_answers_with_failures_are_not_accused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        for seen in simulate(random_steps(Random(1), 1_200_000)):
            file.write(line(seen))
    ran = subprocess.run([*COMMAND, "--judge", log, "--alone", "--allow-lost=100%", "--json"], stdout=PIPE, check=True)
    report = json.loads(ran.stdout)
    assert report["visits"]["answered"] > 1_000_000
    assert report["unknown"] > 20_000
    assert report["findings"] == []


# ---- the memory of the judge


def size(thing: Any, known: set[int]) -> int:
    """How many objects it holds, at any depth."""
    if id(thing) in known or isinstance(thing, int | str | type | FunctionType | None):
        return 0
    known.add(id(thing))
    if isinstance(thing, dict):
        parts = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        parts = list(thing)
    else:
        names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        parts = [getattr(thing, name) for name in names] + list(getattr(thing, "__dict__", {}).values())
    return 1 + sum(size(part, known) for part in parts)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.long
def test_the_memory_of_the_judge_does_not_grow_with_the_run(alone: bool) -> None:
    """Though all this happens again and again: failures, gaps, losses, silences, reads of shares, other visitors."""
    judge, sizes = Judge(Rules(alone=alone, lost=Allowance(percent=100))), []
    random = Random(2)
    now = number = share = 0
    for _ in range(12):
        for _ in range(4_000):
            now += random.choice((10**6, 10**6, 2 * 10**9))
            match random.randrange(20):
                case 0:
                    judge.add(failed(now, answered=now + 10**9))
                    number += 1
                case 1:
                    judge.add(changed(read(number, now, now + 10**5), pods={"a": share}))
                case 2:
                    number += 2
                    share += random.randrange(2)
                case 3:
                    judge.add(recorded(now, now + 10**9, Outcome.STOOD_STILL))
                case _:
                    number, share = number + 1, share + 1
                    judge.add(visit(number, now, now + 10**6))
        judge.verdict(over=False)
        sizes.append(size(judge, set()))
    assert max(sizes[8:]) < 1.1 * max(sizes[4:8])


def test_beyond_two_thousand_pods_those_that_come_later_are_counted_together() -> None:
    verdict = judged([visit(number, 2 * number, 2 * number + 1, pod=f"hello-{number}") for number in range(1, 2101)])
    assert len(verdict.pods) == 2001
    assert verdict.pods["others"] == 100
    assert verdict.answered == 2100


# ---- the liars: 10,000 visits, one lie


def cached(records: list[Record], middle: int) -> None:
    earlier = next(record for record in records[middle // 2 :] if is_visit(record))
    records[middle] = changed(records[middle], number=earlier.number, pod=earlier.pod)


def gone_back(records: list[Record], middle: int) -> None:
    later = next(i for i in range(middle, len(records)) if records[i].read)
    records[later] = changed(records[later], number=(records[later].number or 0) - 100)


def skipped(records: list[Record], middle: int) -> None:
    for index, record in enumerate(records[middle:], middle):
        records[index] = changed(record, number=(record.number or 0) + 1)


def is_visit(record: Record) -> bool:
    return record.outcome is Outcome.ANSWERED and not record.read


@pytest.mark.parametrize(
    ("lie", "kind"),
    [(cached, Kind.GIVEN_TWICE), (gone_back, Kind.READ_WENT_BACK), (skipped, Kind.SKIPPED)],
)
def test_one_lie_in_ten_thousand_is_found(lie: Callable[[list[Record], int], None], kind: Kind) -> None:
    records = list(simulate(random_steps(Random(7), 11_200, spread=20, failures=0)))
    assert not judged(records, alone=True).findings
    lie(records, next(i for i in range(5_000, len(records)) if is_visit(records[i])))
    assert kind in kinds(judged(records, alone=True))


# ---- against the definitions, by brute force, on histories that no counter made

NUMBERS = st.integers(1, 9)
EPOCHS = st.sampled_from("xxxyz")


@st.composite
def anything(draw: st.DrawFn) -> list[Record]:
    records = []
    for _ in range(draw(st.integers(0, 12))):
        sent = draw(st.integers(0, 12))
        answered = sent + draw(TIMES)
        made: Callable[..., Record] | None = draw(st.sampled_from((visit, read, None)))
        records.append(made(draw(NUMBERS), sent, answered, draw(EPOCHS)) if made else failed(sent))
    return records


def before(a: Record, b: Record) -> bool:
    return a.labels.epoch == b.labels.epoch and a.answered < b.sent


def pairs(records: list[Record]) -> list[tuple[Record, Record]]:
    told = [record for record in records if record.number]
    return [(a, b) for a in told for b in told if a is not b]


@given(anything())
def test_the_rules_of_order_are_those_of_the_definition(records: list[Record]) -> None:
    expected = set()
    for a, b in pairs(records):
        assert a.number
        assert b.number
        if not (a.read or b.read) and (a.labels.epoch, a.number) == (b.labels.epoch, b.number):
            expected.add(Kind.GIVEN_TWICE)
        if before(a, b) and not b.read and (a.number > b.number or (a.read and a.number == b.number)):
            expected.add(Kind.OUT_OF_ORDER)
        if before(a, b) and b.read and a.number > b.number:
            expected.add(Kind.READ_WENT_BACK if a.read else Kind.FORGOTTEN)
    order = {Kind.GIVEN_TWICE, Kind.OUT_OF_ORDER, Kind.READ_WENT_BACK, Kind.FORGOTTEN}
    assert kinds(judged(records)) & order == expected


@given(anything())
def test_epochs_answer_in_turn_where_each_is_seen_after_the_other(records: list[Record]) -> None:
    later = {
        (a.labels.epoch, b.labels.epoch)
        for a, b in pairs(records)
        if a.labels.epoch != b.labels.epoch and a.answered < b.sent
    }
    in_turn = any((y, x) in later for x, y in later)
    assert (Kind.EPOCHS_IN_TURN in kinds(judged(records, reset=True))) == in_turn
    new = len({record.labels.epoch for record in records if record.labels.epoch}) > 1
    assert (Kind.NEW_EPOCH in kinds(judged(records))) == (new and not in_turn)


@settings(max_examples=500)
@given(anything())
def test_no_matching_explains_more_missing_numbers_than_the_greedy_one(records: list[Record]) -> None:
    candidates = []
    for epoch in {record.labels.epoch for record in records if record.labels.epoch}:
        told = [record for record in records if record.labels.epoch == epoch]
        lowest = min((record.number or 0) + record.read for record in told)
        given_ = {record.number for record in told if not record.read}
        for number in range(lowest, max(record.number or 0 for record in told) + 1):
            if number not in given_:
                higher = min(r.answered for r in told if (r.number or 0) >= number + (not r.read))
                candidates.append([i for i, r in enumerate(records) if r.labels.unknown and r.sent <= higher])
    verdict = judged(records)
    explained = verdict.gaps.missing - verdict.unexplained
    assert verdict.gaps.missing == len(candidates)
    assert explained >= largest_matching(candidates)
    if not verdict.findings:
        assert explained == largest_matching(candidates)


def largest_matching(candidates: list[list[int]]) -> int:
    """Kuhn's algorithm: each number takes a request, and who had it looks for another."""
    owner: dict[int, int] = {}

    def place(number: int, tried: set[int]) -> bool:
        for request in candidates[number]:
            if request not in tried:
                tried.add(request)
                if request not in owner or place(owner[request], tried):
                    owner[request] = number
                    return True
        return False

    return sum(place(number, set()) for number in range(len(candidates)))


# ---- the edges


@pytest.mark.parametrize("now", [5, 2**62])
def test_a_nanosecond_decides_whether_two_requests_are_concurrent(now: int) -> None:
    assert not judged([visit(2, 0, now), visit(1, now, now + 1)]).findings
    assert kinds(judged([visit(2, 0, now - 1), visit(1, now, now + 1)])) == {Kind.OUT_OF_ORDER}


def test_neither_what_was_never_sent_nor_a_read_explains_a_missing_number() -> None:
    gap = [visit(1, 0, 1), visit(3, 4, 5)]
    for outcome in NEVER_COUNTED - {Outcome.ANSWERED}:
        assert kinds(judged([*gap, failed(2, outcome)], alone=True)) == {Kind.SKIPPED}
    for outcome in set(Outcome) - NEVER_COUNTED:
        assert not judged([*gap, failed(2, outcome)], alone=True).findings
        assert kinds(judged([*gap, changed(failed(2, outcome), read=True)], alone=True)) == {Kind.SKIPPED}


def test_a_request_explains_one_missing_number_and_only_if_sent_before_a_higher_one_arrived() -> None:
    gap = [visit(1, 0, 1), visit(4, 4, 5)]
    assert judged([*gap, failed(2)], alone=True).unexplained == 1
    assert judged([*gap, failed(2), failed(5)], alone=True).unexplained == 0
    assert judged([*gap, failed(2), failed(6)], alone=True).unexplained == 1


def test_a_last_read_shows_numbers_that_nobody_got() -> None:
    assert kinds(judged([visit(1, 0, 1), read(2, 2, 3)], alone=True)) == {Kind.SKIPPED}


def test_what_came_before_the_first_seen_number_is_not_judged() -> None:
    assert not judged([visit(1000, 0, 1), visit(1001, 2, 3)], alone=True).findings
    assert not judged([read(999, 0, 1), visit(1000, 2, 3)], alone=True).findings


def test_a_number_already_read_cannot_be_given_later() -> None:
    assert kinds(judged([read(5, 0, 1), visit(5, 2, 3)])) == {Kind.OUT_OF_ORDER}


def test_a_jump_of_a_trillion_is_one_gap() -> None:
    verdict = judged([visit(1, 0, 1), visit(10**12, 2, 3)], alone=True)
    assert verdict.gaps.missing == 10**12 - 2
    assert len(verdict.gaps.shown.first) == 1


def test_an_empty_store_is_no_epoch_but_one_emptied_has_forgotten() -> None:
    empty = read(0, 0, 1, epoch="")
    assert not judged([empty, visit(1, 2, 3)], alone=True).findings
    assert kinds(judged([visit(1, 2, 3), changed(empty, sent=4, answered=5)])) == {Kind.FORGOTTEN}


@pytest.mark.parametrize("flaw", Kind)
def test_every_flaw_of_an_answer_breaks_a_promise(flaw: Kind) -> None:
    assert judged([changed(visit(1, 0, 1), flaw=flaw), visit(2, 2, 3)]).findings


def test_several_pods_with_an_epoch_each_are_recognised() -> None:
    pods = [visit(1, 0, 1, "x", "a"), visit(1, 2, 3, "y", "b"), visit(2, 4, 5, "x", "a"), visit(2, 6, 7, "y", "b")]
    assert judged(pods).each_pod_for_itself
    assert not judged([*pods, visit(3, 8, 9, "x", "b")]).each_pod_for_itself
    assert judged(pods).findings[Kind.EPOCHS_IN_TURN].count == 2
    assert judged([*pods, read(4, 8, 9, "z")]).each_pod_for_itself, "a pod that was only read"
    assert not judged([read(1, 0, 1, "x"), read(1, 2, 3, "y")]).each_pod_for_itself


def test_nothing_answered_is_no_verdict() -> None:
    assert judged([]).exit_status == 2
    assert judged([failed(0), read(0, 1, 2)]).exit_status == 2


# ---- what was lost


@pytest.mark.parametrize("outcome", Outcome)
def test_a_visit_is_lost_unless_it_was_answered_broken_off_or_never_sent(outcome: Outcome) -> None:
    lost = judged([visit(1, 0, 1), failed(2, outcome)]).lost if outcome is not Outcome.ANSWERED else 0
    assert lost == (outcome not in (Outcome.ANSWERED, Outcome.INTERRUPTED, Outcome.NOT_SENT, Outcome.STOOD_STILL))
    assert judged([visit(1, 0, 1), changed(failed(2), read=True)]).lost == 0, "a read is no visit"


@given(anything())
def test_in_a_silence_somebody_waits_and_nobody_is_answered(records: list[Record]) -> None:
    visits = [record for record in records if not record.read]
    longest = judged(records).longest
    assert bool(longest) == bool(visits)
    if longest and longest.length:
        assert any(record.sent <= longest.began <= record.answered for record in visits)
        assert not any(record.number and longest.began < record.answered < longest.ended for record in visits)


def test_a_pause_between_two_runs_is_no_silence() -> None:
    verdict = judged([visit(1, 0, 5), visit(2, 10**12, 10**12 + 7)])
    assert verdict.longest
    assert verdict.longest.length == 7
    assert not verdict.outages


def test_a_silence_says_who_answered_around_it() -> None:
    second = 10**9
    verdict = judged([visit(1, 0, 1), visit(2, 1, 3 * second, pod="b"), failed(4 * second, answered=9 * second)])
    before, after = verdict.outages
    assert (before.before, before.after, after.after) == ("a", "b", None)
    assert after.length == 5 * second


# ---- epochs whose ids tell when they began

EARLY, LATER = "1700000000000000-a", "1700000000000001-b"


def test_an_announced_reset_may_lead_to_a_later_epoch_only() -> None:
    assert not judged([visit(9, 0, 1, EARLY), visit(1, 2, 3, LATER)], reset=True).findings
    went_back = [visit(9, 0, 1, LATER), visit(1, 2, 3, EARLY)]
    assert kinds(judged(went_back, reset=True)) == {Kind.EARLIER_EPOCH}
    assert kinds(judged([*went_back, visit(2, 4, 5, EARLY)], reset=True)) == {Kind.EARLIER_EPOCH}
    assert judged([*went_back, visit(2, 4, 5, EARLY)], reset=True).findings[Kind.EARLIER_EPOCH].count == 1, "one return"


def test_an_earlier_epoch_that_was_asked_before_a_later_one_answered_is_right() -> None:
    assert not judged([visit(9, 0, 3, LATER), visit(1, 2, 4, EARLY)], reset=True).findings


def test_ids_without_a_time_say_nothing_of_their_order() -> None:
    assert not judged([visit(9, 0, 1, LATER), visit(1, 2, 3, "e")], reset=True).findings


# ---- in time, and the checker's own faults

S = 10**9


def late(number: int, due: int, sent: int, answered: int) -> Record:
    return visit(number, sent, answered)._replace(due=due)


def test_a_wait_counts_from_when_the_visit_was_due() -> None:
    assert judged([late(1, 0, 9 * S, 11 * S)]).too_late
    assert not judged([late(1, 0, 9 * S, 11 * S)], gap=11).too_late
    assert judged([late(1, 0, 9 * S, 11 * S)]).exit_status == 1


def test_a_visit_that_was_due_and_found_no_room_is_lost() -> None:
    verdict = judged([visit(1, 0, 1), recorded(2, 2, Outcome.NOT_MADE, due=1)])
    assert (verdict.due, verdict.lost, verdict.exit_status) == (2, 1, 1)


def test_seconds_are_disrupted_whatever_the_number_of_clients() -> None:
    for clients in 1, 10:
        frozen = [visit(number + 1, 100, 4 * S + number) for number in range(clients)]
        after = [visit(number + 20, 4 * S + number * S, 4 * S + number * S + 1) for number in range(1, 7)]
        assert judged([*frozen, *after]).losses.disrupted == 5, "those from 0 to 4"


def still(began: int, ended: int) -> Record:
    return recorded(began, ended, Outcome.STOOD_STILL)


def test_time_in_which_the_checker_stood_still_is_taken_out() -> None:
    waited = [visit(1, 0, 1), visit(2, S, 31 * S), visit(3, 31 * S, 400 * S // 10), visit(4, 400 * S, 400 * S + 1)]
    assert judged(waited).too_late
    verdict = judged([*waited, still(2 * S, 30 * S)])
    assert not verdict.too_late
    assert verdict.exit_status == 0
    assert verdict.losses.stood_still == 28 * S


def test_what_failed_while_the_checker_stood_still_is_not_lost_unless_the_server_said_so() -> None:
    history = [visit(1, 0, 1), visit(2, 99 * S, 100 * S), still(2 * S, 6 * S)]
    assert judged([*history, failed(S, Outcome.TIMEOUT, 7 * S)]).lost == 0
    assert judged([*history, changed(failed(S, Outcome.UNAVAILABLE, 7 * S), status=503)]).lost == 1
    assert judged([*history, failed(7 * S, Outcome.TIMEOUT, 8 * S)]).lost == 1
    assert judged([*history, failed(S, Outcome.RESET, 7 * S)]).lost == 1, "for 4 s, no server closes a connection"
    asleep = still(8 * S, 8 * S + 1)._replace(due=0)
    assert judged([*history, asleep, failed(7 * S, Outcome.RESET, 9 * S)]).lost == 0, "the machine was suspended"


def test_a_checker_that_stood_still_for_more_than_a_tenth_of_the_run_judges_nothing_but_broken_promises() -> None:
    history = [visit(1, 0, 1), visit(2, 9 * S, 10 * S), still(2 * S, 4 * S)]
    assert judged(history).exit_status == 2
    assert judged([*history, visit(2, 10 * S, 11 * S)]).exit_status == 1


# ---- repeated


def shares(number: int, sent: int, **pods: int) -> Record:
    return changed(read(number, sent, sent + 1), pods=pods)


def test_a_number_that_a_pod_counted_and_nobody_got_was_repeated_and_is_no_broken_promise() -> None:
    verdict = judged([shares(10, 0, a=10), visit(11, 2, 3), visit(13, 4, 5), shares(13, 6, a=12, b=1)], alone=True)
    assert (verdict.repeated, verdict.findings, verdict.exit_status) == (1, {}, 1)
    (repeat,) = verdict.repeats
    assert (repeat.number, repeat.pods) == (1, {"b": 1})
    assert repeat.after
    assert (repeat.after.sent, repeat.before.sent) == (0, 6)


def test_a_number_that_is_in_no_pods_share_was_skipped() -> None:
    verdict = judged([shares(10, 0, a=10), visit(11, 2, 3), visit(13, 4, 5), shares(13, 6, a=12)], alone=True)
    assert (verdict.repeated, kinds(verdict)) == (0, {Kind.SKIPPED})


def test_what_pods_may_have_counted_before_their_shares_were_read_was_not_skipped() -> None:
    verdict = judged([visit(1, 0, 1), visit(3, 2, 3), shares(3, 4, a=3)], alone=True)
    assert (verdict.repeated, kinds(verdict)) == (1, set())


def test_a_visit_of_unknown_outcome_explains_a_number_before_a_repetition_does() -> None:
    history = [shares(10, 0, a=10), failed(2), visit(12, 4, 5), shares(12, 6, a=12)]
    assert judged(history, alone=True).repeated == 0


def test_pods_that_are_folded_into_one_entry_meanwhile_have_counted_nothing() -> None:
    folded = changed(read(11, 6, 7), pods={"earlier pods": 7, "a": 4})
    assert judged([shares(10, 0, a=3, b=7), visit(11, 2, 3), folded], alone=True).repeated == 0


def test_with_others_about_or_without_shares_it_is_not_known_whether_a_request_was_repeated() -> None:
    assert judged([shares(10, 0, a=10), visit(12, 2, 3), shares(12, 6, a=12)]).repeated is None
    assert judged([visit(1, 0, 1), visit(2, 2, 3)], alone=True).repeated is None


@given(steps(*set(Fate) - {Fate.STOLEN, Fate.RESET}))
def test_an_honest_counter_that_tells_shares_repeats_nothing(history: list[Step]) -> None:
    told = [
        changed(each, pods={"a": each.number}, pod="a") if each.read and each.number else each
        for each in simulate(history)
    ]
    verdict = judged([changed(each, pod="a") if is_visit(each) else each for each in told], alone=True)
    assert not verdict.findings
    assert not verdict.repeated
