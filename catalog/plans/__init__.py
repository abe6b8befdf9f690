"""Plans: what is owed, what has been done, and the arithmetic between the two."""
