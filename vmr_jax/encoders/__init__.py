"""Pretrained encoders: CLIP's text and image sides, DistilBERT, their files and tokenisers."""
