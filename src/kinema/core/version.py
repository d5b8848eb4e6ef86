"""The version of this package: the only place that states it. Standard library only."""

VERSION = "0.1.0"
