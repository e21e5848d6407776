"""Drills: what an operator does on a bad day, done to a real gateway, with the figures printed."""
