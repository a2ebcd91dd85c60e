"""The HTTP interface as an OpenAPI 3.1 document: each handler says what it is, beside its code."""
