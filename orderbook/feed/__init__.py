"""A live feed."""
