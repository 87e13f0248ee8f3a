"""How faces are found in a clip: look at every frame, understand the whole, then cut."""
