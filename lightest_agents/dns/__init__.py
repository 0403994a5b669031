"""Secure look-ups, DANE and updates."""
