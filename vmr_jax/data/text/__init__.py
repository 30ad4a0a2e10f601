"""Sentences as words, tokens and noun chunks."""
