"""The command export: records or statistics, written into files."""
