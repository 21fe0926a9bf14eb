"""A script whose children, forked by multiprocessing, use the database too."""

import multiprocessing
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.db import connections  # noqa: E402
from stock.models import Item  # noqa: E402


def work(number: int) -> int:
    return Item.objects.filter(old=number).count()


if __name__ == "__main__":
    Item.objects.count()
    connections.close_all()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, [1, 2, 3], chunksize=1))
        pool.close()
        pool.join()
