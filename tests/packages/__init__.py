"""What the built packages have to do where nothing but them is installed."""
