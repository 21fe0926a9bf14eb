"""Fills up what has run out and puts it back on sale, again and again."""

import itertools
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import F

from shop.models import Product


class Command(BaseCommand):
    help = "Adds stock to products that run low and puts them back on sale, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=int, default=200, metavar="MS", help="pause between rounds")
        parser.add_argument("--rounds", type=int, default=0, help="stop after this many (default: never)")

    def handle(self, *, every: int, rounds: int, **options: Any) -> None:
        for done in itertools.count(1):
            for pk in Product.objects.filter(stock__lt=10).order_by("-pk").values_list("pk", flat=True)[:3]:
                Product.objects.filter(pk=pk).update(stock=F("stock") + 10, is_active=True)
            self.stdout.write(f"round {done}")
            self.stdout.flush()
            if done == rounds:
                return
            time.sleep(every / 1000)
