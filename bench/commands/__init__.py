"""One module per command: options in, one room called, words out."""
