"""The stages: each is one function, workspace and settings in, report out."""
