"""Commands by subject: those that evaluate, explain and predict, and those about model files.

`transferkit.cli._commands` has those that train, and the group of all. Each module here lists its own in COMMANDS.
"""
