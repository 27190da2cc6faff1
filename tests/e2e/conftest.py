"""What the tests on a cluster share with those of the live page."""

from tests.support.browser import browser, window  # noqa: F401 -- fixtures
