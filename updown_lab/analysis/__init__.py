"""Showing on paper: plots, tables beside the published ones, comparisons, the report."""
