"""A verdict in words, and as JSON."""

from collections.abc import Iterator
from typing import Any

from hello.check.history import Outcome, Record
from hello.check.judge import PROMISES, Example, Finding, Gap, Kind, Promise, Verdict

NAMES = {
    Promise.DISTINCT: "Distinct",
    Promise.DURABLE: "Durable",
    Promise.EXACT: "Exact",
    Promise.IN_ORDER: "In order",
    Promise.ONE_COUNTER: "One counter",
    Promise.HONEST: "Honest",
}

# What each kind of finding is called once, and more than once.
TEXTS = {
    Kind.GIVEN_TWICE: ("a number was given twice", "{} times a number was given that another visitor had"),
    Kind.CACHED: ("an answer came out of a cache", "{} answers came out of a cache"),
    Kind.STORABLE: ("an answer may be kept by a cache", "{} answers may be kept by a cache"),
    Kind.FORGOTTEN: ("a number that had been given was forgotten", "{} times numbers that had been given were forgotten"),
    Kind.NEW_EPOCH: ("the counter began anew", "the counter began anew {} times"),
    Kind.MISSING: ("a number was skipped, and no failed request explains it", "{} numbers were skipped unexplained"),
}
