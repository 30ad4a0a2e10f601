"""Raw videos: which are there, and their frames at given times."""
