"""Finding and reading model folders: diffusers layout, safetensors only, strict loading block by block."""
