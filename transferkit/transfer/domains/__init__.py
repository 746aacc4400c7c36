"""Transfer from one domain to another."""
