"""Request -> run -> stream: residency, batching, progress, cancel, checkpoints of a generation."""
