"""VLANet (Ma et al., ECCV 2020)."""
