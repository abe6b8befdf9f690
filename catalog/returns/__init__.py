"""Returns: numbers frozen, told in sentences, written as files, brought in from old years."""
