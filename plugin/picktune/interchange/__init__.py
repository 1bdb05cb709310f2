"""Conversations from elsewhere: one module a format, one reader over all of them."""

from picktune.interchange.reader import FORMATS, read_conversations
from picktune.interchange.rows import Reject

__all__ = ["FORMATS", "Reject", "read_conversations"]
