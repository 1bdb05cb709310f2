"""The report of a night: one HTML file that needs nothing else, in English and Chinese."""

from picktune_retrain.report.page import Account, render, write_report

__all__ = ["Account", "render", "write_report"]
