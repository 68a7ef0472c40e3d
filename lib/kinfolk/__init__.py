"""kinfolk finds what belongs together in a data lake."""

__version__ = "0.1.0"
