"""Values as other tools write them -> ours: verdicts, whole numbers, texts, names. Pure."""

import hashlib
import json
import math
import re
from typing import Any

from pipelines.importing.records import RowError

_PASSED = frozenset({"true", "1", "1.0", "correct", "pass", "passed", "success", "yes", "c"})
_FAILED = frozenset(
    {
        "false", "0", "0.0", "incorrect", "fail", "failed", "failure", "no", "i", "wrong", "n",
        "timeout",
    }
)  # fmt: skip
_UNDECIDED = frozenset({"", "null", "none", "nan", "undecided"})
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def verdict(value: Any, field: str, threshold: float | None = None) -> bool | None:
    """Return whether a sample passed; None: undecided.

    Args:
        value: a boolean, 0 or 1, a word, or null; with a threshold, any number.
        field: named in the error.
        threshold: numbers from here on pass.

    Raises:
        RowError: anything else; a number other than 0 and 1 without a threshold.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _UNDECIDED:
            return None
        if threshold is None and word in _PASSED | _FAILED:
            return word in _PASSED
        value = _number(word, value)
    if isinstance(value, int | float):
        if math.isnan(value):
            return None
        if threshold is not None:
            return bool(value >= threshold)
        if value in (0, 1):
            return bool(value)
        raise RowError(
            f"field {field}: is {value:g}, and only 0 and 1 are verdicts; name the least number "
            "that passes with --threshold"
        )
    raise RowError(
        f"field {field}: is {value!r}, must be true, false, 1, 0, correct, incorrect or null"
    )


def _number(word: str, value: object) -> object:
    try:
        return float(word)
    except ValueError:
        return [value] if isinstance(value, dict) else _Word(value)


class _Word:
    """A text that is no number, shown as it was."""

    def __init__(self, text: object) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


MOST = 2**63 - 1
"""Largest whole number that a table holds."""
MOST_TOKENS = 2**31 - 1
"""Largest number of tokens that a table holds."""


def whole(value: Any, field: str, least: int = 0, most: int = MOST) -> int | None:
    """Return a whole number, also of "12" and 12.0; None for null and empty.

    Raises:
        RowError: no whole number from `least` to `most`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number: float | int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float | str):
        number = _parsed(value)
    if number is None and isinstance(value, float) and math.isnan(value):
        return None
    if number is None or not least <= number <= most:
        end = "on" if most == MOST else f"to {most:,}"
        raise RowError(f"field {field}: is {value!r}, must be a whole number from {least} {end}")
    return int(number)


def _parsed(value: float | str) -> int | None:
    try:
        if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
            return int(value)  # beyond 2**53 a float would lose digits
        number = float(value)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() else None


def number(value: Any, field: str) -> float | None:
    """Return a number; None for null, empty and what is not finite; RowError for anything else."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise RowError(f"field {field}: is {value!r}, must be a number") from None
    return found if math.isfinite(found) else None


def text(value: Any) -> str | None:
    """Return a text; what is no text as JSON; None for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of identifiers with a hole, as pandas writes it
    return json.dumps(value, ensure_ascii=False, default=str)


def name(value: str) -> str:
    """Return a name that may be part of a path: other characters become hyphens."""
    cleaned = _NO_NAME.sub("-", value.strip()).lstrip("._-").rstrip("-")[:100]
    if not cleaned:
        raise RowError(
            f"{value!r} cannot be made a name of letters and digits; give one with --model or "
            "--task"
        )
    return cleaned


def digest_of(value: str) -> str:
    """Return a short name for a text, the same for the same text."""
    return hashlib.blake2b(value.encode(), digest_size=6).hexdigest()


def said(value: Any) -> str | None:
    """Return what a message holds: its text, or the texts of its parts one after the other."""
    if isinstance(value, list):
        parts = [
            part if isinstance(part, str) else part.get("text")
            for part in value
            if isinstance(part, str | dict)
        ]
        return "".join(part for part in parts if isinstance(part, str))
    return text(value)


def conversation(value: Any) -> tuple[str | None, str | None]:
    """Return a prompt's text, and its messages as JSON where it is a conversation.

    Args:
        value: a text, or a list of {role, content}.
    """
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        messages = [
            {"role": str(each.get("role", "user")), "content": said(each.get("content")) or ""}
            for each in value
        ]
        whole_text = "\n".join(each["content"] for each in messages)
        return whole_text, json.dumps(messages, ensure_ascii=False)
    return said(value), None
