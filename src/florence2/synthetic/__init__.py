"""Made pictures whose labels are exact, for training and for testing without any data."""
