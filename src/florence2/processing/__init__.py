"""From images and text to tensors, and from token ids to results."""
