"""What a run of digits may be: check digits, dates, and which kind it looks like."""

from __future__ import annotations

from picktune.redaction.base import Kind

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a bank card (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def resident_id(text: str) -> bool:
    """Whether it is a Chinese resident identity number with its check character (GB 11643-1999)."""
    if len(text) != 18 or not text[:17].isdigit() or not _month_day(text[10:12], text[12:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text[:17], strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper()


def is_date(digits: str) -> bool:
    """Whether a run of 4 to 8 digits reads as a day with its year, or as a year: ``92018``, ``20180920``."""
    if len(digits) == 4:
        return digits[:2] in ("19", "20")
    if not 5 <= len(digits) <= 8:
        return False
    if digits[-4:-2] in ("19", "20"):
        day = digits[:-4]
        for cut in range(1, len(day)):
            if _month_day(day[:cut], day[cut:]) or _month_day(day[cut:], day[:cut]):
                return True
        return len(day) == 1
    return len(digits) == 8 and digits[:2] in ("19", "20") and _month_day(digits[4:6], digits[6:])


def _month_day(month: str, day: str) -> bool:
    return len(month) <= 2 and len(day) <= 2 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def kind_of(digits: str, *, groups: tuple[int, ...] = ()) -> tuple[Kind, int] | None:
    """Kind and sureness of digits that nothing announces, given how they are grouped; ``None`` for too few.

    Seven digits and more are taken for personal, unless they read as a date or end in three noughts (an
    amount).
    """
    if 13 <= len(digits) <= 19 and luhn(digits) and digits.strip("0"):
        return "card", 2
    if len(digits) < 7 or is_date(digits) or digits.endswith("000"):
        return None
    if groups == (3, 2, 4):
        return "ssn", 1
    if len(digits) > 13:
        return "account", 1
    return ("phone", 1) if 9 <= len(digits) <= 13 or groups == (3, 4) else ("account", 0)
