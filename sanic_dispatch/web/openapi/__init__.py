"""The HTTP interface as an OpenAPI 3.1 document, and as a page."""
