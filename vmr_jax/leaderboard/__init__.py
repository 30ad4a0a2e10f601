"""A leaderboard that people can check: one page of folders of predictions."""
