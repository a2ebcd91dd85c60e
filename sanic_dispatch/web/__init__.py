"""HTTP: one blueprint per noun. Parses, asks the dispatcher, and answers; no rules of its own."""
