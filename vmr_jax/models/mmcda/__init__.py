"""MMCDA, derived from the abstract of Fang et al. (IEEE TMM 2022)."""
