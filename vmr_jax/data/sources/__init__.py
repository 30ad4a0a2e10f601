"""Feature files of users."""
