"""Runs at night: datasets, training, evaluation, the decision and the report."""
