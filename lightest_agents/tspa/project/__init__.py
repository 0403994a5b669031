"""The Django project that serves the TSPA."""
