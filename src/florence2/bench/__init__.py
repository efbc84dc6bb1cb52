"""How fast this machine answers, what its limits are, and how a peer does in the same minutes."""
