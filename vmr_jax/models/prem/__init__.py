"""PREM (Hou et al., ICMR 2024)."""
