"""Search of a corpus: exact video retrieval, moments of the best videos, the index on disk."""
