"""The routes: one blueprint for each noun."""
