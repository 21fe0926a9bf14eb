"""A Celery worker: `python -m celery -A worker worker -Q QUEUES`, on the broker of the environment."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from celery import Celery

app = Celery("worker", broker=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=False,
    worker_enable_remote_control=False,
    task_ignore_result=True,
    task_queue_max_priority=None,
    task_create_missing_queues=True,
)


@app.task(name="reads")
def reads(number: int) -> None:
    from stock.models import Item

    print(f"read {len(Item.objects.filter(old=number))}", flush=True)
