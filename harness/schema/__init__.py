"""The vocabulary that every part shares. Imports nothing of the harness, nor torch."""
