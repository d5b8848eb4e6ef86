"""Text encoders trained with the transformer that reads them."""
