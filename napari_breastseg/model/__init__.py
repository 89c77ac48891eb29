"""A model: its network, its folder on disk, its card, and models that other programs made."""
