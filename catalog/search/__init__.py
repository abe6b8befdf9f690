"""Finding records: Chinese full text with facets, over every record of the catalogue."""
