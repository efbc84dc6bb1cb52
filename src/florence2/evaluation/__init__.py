"""Evaluation by the official rules: metrics on plain arrays, benchmarks, reports."""
