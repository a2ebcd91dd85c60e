"""HTTP: parse a request, ask the dispatcher, answer; no rules of its own."""
