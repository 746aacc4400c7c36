"""Encoders of rows of numbers by clusters."""
