"""Networks and losses, shape-annotated, without input or output."""
