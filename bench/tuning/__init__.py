"""One cell: searched, fitted, tested."""
