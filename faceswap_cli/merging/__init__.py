"""Putting a drawn face into its frame: pure functions, no paths and no settings."""
