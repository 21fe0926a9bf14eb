"""Goes on whatever it meets, as commands with a broad except do."""

from django.core.management.base import BaseCommand

from stock.models import Item


class Command(BaseCommand):
    def handle(self, **options: object) -> None:
        for _ in range(2):
            try:
                Item.objects.create(name="worked")
            except Exception as error:
                self.stdout.write(f"swallowed {type(error).__name__}")
