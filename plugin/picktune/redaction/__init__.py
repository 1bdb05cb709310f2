"""Personal data out of what is stored: finding it, putting placeholders in its place, and back again."""

from picktune.redaction.base import KINDS, Found, Kind, Redactor

__all__ = ["KINDS", "Found", "Kind", "Redactor"]
