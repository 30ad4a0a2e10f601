"""From raw files to a prepared dataset, and what is wrong with either."""
