"""Phone forms: a clip reframed to 9:16 or 1:1, its subject followed, with words and even sound."""
