"""The messages of JT/T 808, one file for each part of the standard; `catalogue` gathers them."""
