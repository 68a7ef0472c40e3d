"""What is bought together: frequent itemsets and the rules that follow from them, exact and complete."""
