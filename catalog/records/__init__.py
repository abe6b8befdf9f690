"""The catalogue's records: what they say, their review, and how they come in and go out."""
