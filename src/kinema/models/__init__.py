"""Networks: transformers, autoencoders and text encoders. Tensors in, tensors out; no files, no sampling."""
