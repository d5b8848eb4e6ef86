"""Training of the autoencoder and the transformer: recipes, loops, checkpoints. Needs no media library."""
