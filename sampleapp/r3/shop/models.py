"""Products and who supplies the shop. A product that is not active is not for sale."""

from django.db import models


class Supplier(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=100)
    price = models.PositiveIntegerField(help_text="in cents")
    stock = models.IntegerField(default=0)
    is_active = models.BooleanField(default=True)
    brand = models.CharField(max_length=60, default="")
    weight = models.PositiveIntegerField(null=True, help_text="in grams")

    def __str__(self) -> str:
        return self.name
