"""Tests of hpastack; a package, so that workers in other processes can import its functions."""
