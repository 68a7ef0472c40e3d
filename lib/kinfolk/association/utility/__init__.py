"""What brings in the money: itemsets by what their items cost where all of them are bought."""
