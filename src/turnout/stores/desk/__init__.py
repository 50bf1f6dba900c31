"""Where documents of the administration are kept, with the log of who changed them. Floor 3."""
