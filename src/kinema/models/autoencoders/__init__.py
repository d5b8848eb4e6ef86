"""Causal video autoencoders: pixels to latents and back."""
