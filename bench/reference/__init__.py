"""The straightforward ways that ours is measured against, as the popular code has them."""
