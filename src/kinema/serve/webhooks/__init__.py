"""Webhooks: jobs' events sent to receivers, signed, until they take them. docs/webhooks.md explains it.

``messages`` and ``signing`` are pure; ``endpoints`` (where to) and ``deliveries`` (what was sent) are on the database; ``deliverer`` sends.
"""
