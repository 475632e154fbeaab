"""Texture features at several scales."""
