"""What is known about a face, and the folder of pictures that keeps it."""
