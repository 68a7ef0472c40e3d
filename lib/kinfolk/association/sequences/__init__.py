"""What customers buy later: sequences of their baskets, exact and complete."""
