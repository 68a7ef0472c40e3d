"""Joins of sets: how texts become tokens, and the plans that find the pairs."""
