"""Moment-DETR as a System (Lei et al., NeurIPS 2021)."""

from vmr_jax.models.detr.family import describe

SYSTEM = describe("moment_detr", "Lei et al., NeurIPS 2021")
