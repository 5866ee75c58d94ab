"""Tests of publishing sessions."""
