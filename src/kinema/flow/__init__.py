"""The mathematics of flow matching and diffusion, once, for training and sampling: pure functions on tensors."""
