"""The user's own torch modules: features and state."""
