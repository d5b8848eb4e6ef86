"""Networks that read the world's attributes back from pixels. Small, convolutional, any picture size."""
