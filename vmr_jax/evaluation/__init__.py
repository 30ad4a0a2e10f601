"""How a trained system is scored and reported."""
