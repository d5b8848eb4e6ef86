"""The HTTP API: three dialects over one table of jobs. No torch."""
