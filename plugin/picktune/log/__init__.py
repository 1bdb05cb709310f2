"""The log: where slates, exposures, picks and reactions are kept for good."""

from picktune.log.base import Log, LogReader
from picktune.log.reader import SQLiteLogReader
from picktune.log.sqlite import SQLiteLog

__all__ = ["Log", "LogReader", "SQLiteLog", "SQLiteLogReader"]
