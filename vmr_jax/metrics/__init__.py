"""Evaluation metrics, float64 on plain arrays."""
