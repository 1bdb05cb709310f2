"""The sample tickets of an invented shop, in English and Chinese, with its policy as the system prompt.

Nobody in them exists. The English tickets are split into ``training`` and ``unseen`` ones, so that a
demonstration can measure on tickets that no adapter has learned from.
"""

from picktune.tickets.samples import sample_conversations, sample_tickets, shop_policy

__all__ = ["sample_conversations", "sample_tickets", "shop_policy"]
