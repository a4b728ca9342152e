"""Judging: BLEU, METEOR, ROUGE-L, CIDEr, SPICE, VQA accuracy, mAP, grounding, and intervals for all of them."""
