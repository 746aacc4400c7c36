"""How much to transfer: one module for each strategy."""
