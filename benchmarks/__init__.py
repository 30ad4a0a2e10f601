"""One benchmark a question; run as python -m benchmarks.NAME."""
