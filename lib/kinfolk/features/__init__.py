"""Items as tensors: which side of the split, pictures of one size, texts as token ids."""
