"""Weights: a registry of names, where they are fetched, and readers that run none of their code."""
