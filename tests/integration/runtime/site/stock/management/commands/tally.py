"""Reads the table a few times, or goes on until it is stopped."""

import os
import time

from django.core.management.base import BaseCommand, CommandParser

from stock.models import Item


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--forever", action="store_true")
        parser.add_argument("--fork", action="store_true")
        parser.add_argument("--swallow", action="store_true")

    def handle(self, *, forever: bool, fork: bool, swallow: bool, **options: object) -> None:
        self.count()
        if fork:
            child = os.fork()
            if not child:
                self.count()
                self.stdout.write("child counted")
                return
            os.waitpid(child, 0)
        while forever:
            self.count()
            time.sleep(0.05)
        self.stdout.write("done")

    def count(self) -> None:
        self.stdout.write(str(len(Item.objects.filter(old=0))), ending="\n")
        self.stdout.flush()
