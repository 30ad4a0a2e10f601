"""The embedded worlds, and features planted into real annotations."""
