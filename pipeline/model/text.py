"""Text of others, fit to be shown: nothing in it moves a cursor, colours a line or turns it round."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls but for tab and line feed, marks that turn the direction of writing, halves of characters."""
REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """A text with the replacement character where it had a control character; line ends and tabs stay."""
    return _CONTROL.sub(REPLACEMENT, text)
