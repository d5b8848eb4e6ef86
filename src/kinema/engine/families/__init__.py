"""Families of models: what the engine asks of each, behind one Protocol, so that the rest of the room knows no family."""
