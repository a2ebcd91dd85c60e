"""Other job queues, beside which ours is measured: ``python -m benchmarks peers``.

Each is its server, a worker, and a process that submits, started as its documentation says.
``sides.py`` lists them; ``with_*`` are their programs, which need what is installed for them.
"""
