"""What makes committed files of the documentation out of the project itself. Nothing of it is installed."""
