"""Remembering: features on disk, read in place; the formats of other people in and out."""
