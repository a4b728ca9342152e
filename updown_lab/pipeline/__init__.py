"""Running it all: stages side by side, cached by their settings; what is finished can be asked."""
