"""What correction does to the predictions over a data set."""
