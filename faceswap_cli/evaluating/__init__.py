"""Measures a finished swap against the footage that it was put into."""
