"""Other people's formats, read defensively and written to the letter."""
