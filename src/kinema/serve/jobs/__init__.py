"""Jobs that are never lost: states and their moves, and a store of them on SQLite or PostgreSQL. docs/jobs.md explains it.

``store.open_store`` is the way in. Pure: ``job``, ``commands``, ``transition``, ``order``. On the database: ``store``, ``keys``
(idempotency), ``reading`` (events, queue, figures), ``retention``.
"""
