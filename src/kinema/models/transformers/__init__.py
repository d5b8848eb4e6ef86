"""Diffusion transformers over video tokens."""
