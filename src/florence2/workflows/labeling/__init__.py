"""Label images: sources, requests, and an output directory that can be resumed."""
