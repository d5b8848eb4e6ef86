"""Text encoders: one trained with the transformer that reads it, and those of published models."""
