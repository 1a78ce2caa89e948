"""Analyses that need activations: what an encoder learned, in numbers."""
