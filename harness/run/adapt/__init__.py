"""Protocols at work: how an encoder becomes a model of one task."""
