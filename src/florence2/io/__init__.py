"""Files, directories and URLs: what every byte from outside passes through."""
