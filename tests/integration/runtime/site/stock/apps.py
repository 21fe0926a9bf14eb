"""Queries the database while Django starts, as projects do though they should not."""

import os
import warnings

from django.apps import AppConfig


class StockConfig(AppConfig):
    name = "stock"

    def ready(self) -> None:
        if os.environ.get("QUERY_IN_READY"):
            from stock.models import Item

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                Item.objects.count()
