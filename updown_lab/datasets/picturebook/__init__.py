"""Picturebook: a small world that is drawn, not downloaded, with the whole truth about it.

``make_picturebook`` writes pictures and the official file formats (COCO captions,
Karpathy splits, Visual Genome objects, VQA v2 questions); the library reads them with
the same readers that read the real data.
"""

from updown_lab.datasets.picturebook.world import COLOUR_NAMES, Paths, make_picturebook

__all__ = ["COLOUR_NAMES", "Paths", "make_picturebook"]
