"""Kennel: from a folder of labelled photos to an image classifier that can be trusted."""

__version__ = "0.1.0.dev0"
