"""The page of a programme's pictures, and that of an exhibition's order."""
