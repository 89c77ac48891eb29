"""The step Draft."""
