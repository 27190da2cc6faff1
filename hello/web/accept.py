"""Content negotiation: RFC 9110, section 12.5.1."""

from collections.abc import Sequence

TEXT, HTML, JSON = "text/plain", "text/html", "application/json"

LONGEST = 400
"""Characters of an Accept header that are read."""


def preferred_type(lines: Sequence[str]) -> str:
    """Choose by the lines of an Accept header, which form one list.

    The highest weight wins, then the most exact range; without a preference, plain text.
    """
    accept = lines[0] if len(lines) == 1 else ",".join(lines)
    return WELL_KNOWN.get(accept) or _negotiate(accept)


def _negotiate(accept: str) -> str:
    if len(accept) > LONGEST:
        accept = accept[:LONGEST].rpartition(",")[0]
    ranges = [_media_range(part) for part in accept.split(",")]
    return max((TEXT, HTML, JSON), key=lambda offer: _preference(offer, ranges))


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0


def _preference(offer: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """Weight and exactness of the range that matches `offer` most exactly; of weight 0 if none does."""
    names = ("*/*", offer.split("/")[0] + "/*", offer)
    exactness, weight = max(((names.index(name), weight) for name, weight in ranges if name in names), default=(0, 0.0))
    return (weight, exactness) if weight > 0 else (0.0, 0)


_XHTML = "text/html,application/xhtml+xml,application/xml;q=0.9,"
_CHROME = "image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"

WELL_KNOWN = {
    accept: _negotiate(accept)
    for accept in ("", "*/*", JSON, HTML, _XHTML + "*/*;q=0.8", _XHTML + _CHROME)  # curl and programs; browsers
}
"""What most clients send. A cache of what they send would be theirs to fill."""
