"""Items to vectors: a trained encoder applied to every row, wherever the rows lie."""
