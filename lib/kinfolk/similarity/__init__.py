"""What resembles what: pairs, nearest neighbours, identical items, and the groups they form."""
