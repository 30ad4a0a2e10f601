"""From scores to ranked moments."""
