"""Hand-crafted features: a module per family, one registry."""
