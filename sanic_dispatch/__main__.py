"""``python -m sanic_dispatch`` is ``sanic-dispatch``."""

from sanic_dispatch.cli import main

main()
