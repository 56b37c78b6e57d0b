"""Asks a running service, or a store in this process: for the commands, and for Python."""
