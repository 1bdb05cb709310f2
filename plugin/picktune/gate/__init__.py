"""The gate: what people's blind picks do to the aliases, and what a person may do to them."""
