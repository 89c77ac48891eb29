"""What stands around the steps of the dock: header above, the way through them, notices below."""
