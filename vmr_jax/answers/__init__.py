"""Moments in the free text of language models, and the prompts that ask for them."""
