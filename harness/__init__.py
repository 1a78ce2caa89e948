"""Which self-supervised pretraining is worth using for medical images, and how sure can one be."""

__version__ = "0.1.0"
