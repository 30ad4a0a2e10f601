"""Moments without training: from similarities of frames and a sentence to borders."""
