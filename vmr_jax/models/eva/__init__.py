"""EVA (Cai, Huang, Gong; BMVC 2022)."""
