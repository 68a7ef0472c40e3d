"""Functions that are compiled: how, where their machine code is kept, and the instructions that they share."""
