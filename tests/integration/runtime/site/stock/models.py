"""One table with a column that the tests slate."""

from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=50)
    old = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name
