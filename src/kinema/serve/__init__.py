"""The service: jobs, and on top of them an HTTP API. No torch."""
