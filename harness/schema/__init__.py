"""The vocabulary that every part of the harness shares. Imports nothing of the harness and never torch."""
