"""Fetching and reading: COCO, Karpathy's splits, Visual Genome, VQA v2; and Picturebook, a world that is drawn."""
