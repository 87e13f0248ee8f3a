"""Video, pictures and sound, in and out; the only importer of av."""
