"""Moments that were found, as files: cut out, listed, shown, for players and for editors."""
