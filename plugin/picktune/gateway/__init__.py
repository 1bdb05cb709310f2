"""The OpenAI-compatible gateway: slates, and for engineers single arms, as chat completions."""

from picktune.gateway.routes import routes

__all__ = ["routes"]
