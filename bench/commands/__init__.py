"""The commands, one file each: options in, one room called, words out."""
