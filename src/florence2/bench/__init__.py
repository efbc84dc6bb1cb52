"""How fast this machine predicts, its limits, and a baseline timed in the same rounds."""
