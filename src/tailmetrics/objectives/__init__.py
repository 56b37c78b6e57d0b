"""Objectives: whether what was promised to customers is kept, who is told when it is not, and how."""
