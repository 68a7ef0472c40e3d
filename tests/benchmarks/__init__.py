"""Benchmarks: kinfolk and its peers side by side, `make bench NAME=…`."""
