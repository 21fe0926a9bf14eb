"""Products and who supplies them. A product that is not active is not for sale.

`is_enabled` is on its way out: it is still written, for the release before this one, and no longer asked.
"""

from django.db import models


class Supplier(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=100)
    price = models.PositiveIntegerField(help_text="in cents")
    stock = models.IntegerField(default=0)
    sku = models.CharField(max_length=40)
    is_enabled = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    supplier = models.ForeignKey(Supplier, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.name
