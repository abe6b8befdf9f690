"""What we own and what it is worth: models, broadcasts, segments, minutes, plays, exports."""
