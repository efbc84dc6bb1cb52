"""The store: records in Parquet files that Hugging Face ``datasets`` opens as they are."""

from .reader import ShardDataset
from .writer import ShardWriter

__all__ = ["ShardDataset", "ShardWriter"]
