"""Which self-supervised pretraining is worth using for medical images, and how sure."""

__version__ = "0.1.0"
