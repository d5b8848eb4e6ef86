"""What goes over HTTP, as pydantic models that the service and its clients share; unknown fields are refused by name."""
