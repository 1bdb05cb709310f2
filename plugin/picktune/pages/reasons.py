"""Why a reply was picked, or why none was good: stable ids; the words for them are in the catalogs."""

FOR = ("accurate", "kind", "concise", "policy", "clear", "complete")
AGAINST = ("wrong", "off_policy", "off_topic", "rude", "too_long", "unclear")
