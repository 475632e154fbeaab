"""Features of cells and of where in them the protein lies."""
