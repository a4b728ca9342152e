"""Seeing: from pixels to regions with features, by a trunk, Faster R-CNN with attributes, a grid or an oracle."""
