"""Improving: one loop that resumes, the losses and the recipes."""
