"""Counting terms on a device."""
