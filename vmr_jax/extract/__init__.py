"""From video files to a feature file: decode, encode, store."""
