"""What every provider must do. A provider of your own: one line in `providers.py`."""
