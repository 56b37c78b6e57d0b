"""A page for each customer whose status somebody may see without a key: who has the address has the page."""
