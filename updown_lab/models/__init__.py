"""Thinking: attention, the two-LSTM captioner, the VQA model."""
