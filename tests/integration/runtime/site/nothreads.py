"""gunicorn's configuration for workers in which the system starts no thread: none finds room for its stack."""

import resource
import threading


def post_fork(server: object, worker: object) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
    threading.stack_size(1 << 41)
