"""What every agent needs to run as a service."""
