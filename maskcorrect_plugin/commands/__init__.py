"""What the commands of the command line do. Each module is imported when its command runs."""
