"""Moment-DETR (Lei et al., NeurIPS 2021) and QD-DETR (Moon et al., CVPR 2023)."""
