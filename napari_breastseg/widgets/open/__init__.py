"""The step Open."""
