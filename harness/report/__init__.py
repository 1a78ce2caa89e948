"""Tables and figures from published results. Never imports torch."""
