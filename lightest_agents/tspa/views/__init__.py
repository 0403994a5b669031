"""What the TSPA answers over HTTPS."""
