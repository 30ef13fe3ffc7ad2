"""Programs that sites may run; they stand alone, since a site's interpreter runs them."""
