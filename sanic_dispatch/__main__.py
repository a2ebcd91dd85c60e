"""``python -m sanic_dispatch`` is ``sanic-dispatch``."""

from sanic_dispatch.cli.main import main

main()
