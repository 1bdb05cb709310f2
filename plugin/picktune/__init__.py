"""Picktune turns the replies that people pick into a better model."""

__version__ = "0.1.0"
