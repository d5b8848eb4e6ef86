"""Workers of the service: processes that take jobs, run them on one device and are watched over. docs/worker.md explains it.

Without torch: ``supervisor`` (starts and watches), ``work`` (the loop), ``hold`` (one job), ``settings``. With it, once a job comes:
``local`` (this machine's engine), ``states`` (checkpoints).
"""
