"""Commands beside the four stages, by what they are about."""
