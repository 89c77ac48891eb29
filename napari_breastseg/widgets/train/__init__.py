"""The tab Train & models."""
