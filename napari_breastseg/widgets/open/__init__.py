"""The tab Open."""
