"""A trust infrastructure on DNS for industrial sensors."""
