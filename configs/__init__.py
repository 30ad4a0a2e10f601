"""One ml_collections config a paper. Configs hold numbers and names only."""
