"""Conversations and picks from elsewhere and for elsewhere: one module a format, one reader, one writer."""

from picktune.interchange.card import DatasetCard
from picktune.interchange.export import export_to, export_to_file
from picktune.interchange.exporter import EXPORTERS
from picktune.interchange.reader import DECISIONS, FORMATS, read_conversations, read_decisions
from picktune.interchange.rows import Reject

__all__ = [
    "DECISIONS",
    "EXPORTERS",
    "FORMATS",
    "DatasetCard",
    "Reject",
    "export_to",
    "export_to_file",
    "read_conversations",
    "read_decisions",
]
