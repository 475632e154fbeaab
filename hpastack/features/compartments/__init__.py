"""Features of cells and of the subcellular distribution of the protein."""
