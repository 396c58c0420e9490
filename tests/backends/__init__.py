"""Tests that every snapshot backend must pass."""
