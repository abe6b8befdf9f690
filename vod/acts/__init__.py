"""Acts: where the pieces of a long programme begin and end, proposed from sound, picture and
programme list (docs/acts.md)."""
