"""The predictor: requests in, results out, over one encoding of each image."""
