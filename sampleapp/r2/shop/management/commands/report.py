"""Says how many products are for sale."""

from typing import Any

from django.core.management.base import BaseCommand

from shop.models import Product


class Command(BaseCommand):
    help = "Prints how many products are for sale, and of how many."

    def handle(self, **options: Any) -> None:
        for_sale = Product.objects.filter(is_active=True).count()
        self.stdout.write(f"{for_sale} of {Product.objects.count()} products are for sale")
