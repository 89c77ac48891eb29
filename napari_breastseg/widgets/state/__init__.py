"""What the window knows and decides. No Qt, so that it is tested without a window."""
