"""Looking rules up: search by items and measures, explanation of one rule."""
