"""The commands about objectives: whether what was promised is kept."""
