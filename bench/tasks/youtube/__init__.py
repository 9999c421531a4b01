"""Videos whose category is predicted from their sound; people hold only the table of links."""
