"""How fast, beside the straightforward way: ``make bench``. The slow ways are written out here to be rerun."""
