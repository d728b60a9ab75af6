"""What an evaluation keeps of each image, and the files that it lies in."""
