"""What resembles what: exact cosine joins, nearest neighbours, identical items, and the groups they form."""
