"""Features of puncta and of fibres."""
