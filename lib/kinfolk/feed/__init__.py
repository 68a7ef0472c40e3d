"""A pinned version of a Delta table as tensors for each rank: snapshot → order → reading → loader."""
