"""VDI on MMN (Luo et al., CVPR 2023)."""
