"""The procedural world: a small toy diorama that is a pure function of an integer seed, with exact truth.

Modules: ``scene`` (what there is), ``sampler`` (seed -> scene), ``motion`` and ``camera`` (where things are), ``render``
(pixels), ``truth`` (the oracle), ``captions`` (words), ``sheet`` (contact sheets). Imports torch; import the modules you need.
"""
