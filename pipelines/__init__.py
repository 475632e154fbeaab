"""The commands of hpastack: each parses its options, calls the library and reports."""
