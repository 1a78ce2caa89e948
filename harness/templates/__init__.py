"""Files that `harness new` fills in."""
