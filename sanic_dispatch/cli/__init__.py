"""The command line: one module for each group of commands; main.py puts them together."""
