"""QD-DETR as a System (Moon et al., CVPR 2023)."""

from vmr_jax.models.detr.family import describe

SYSTEM = describe("qd_detr", "Moon et al., CVPR 2023")
