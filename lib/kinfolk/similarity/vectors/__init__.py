"""Joins of vectors: what they are measured in, and the plans that find the pairs."""
