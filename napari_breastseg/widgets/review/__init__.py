"""The step List."""
