"""Logistic regression by L-BFGS: losses, features on a device, preconditioning, searches over C."""
