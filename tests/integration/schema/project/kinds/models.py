# ruff: noqa: DJ008
"""A model of each kind. The app has no migrations."""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Tag(models.Model):
    label = models.CharField(max_length=20)


class Place(models.Model):
    name = models.CharField(max_length=20)
    tags = models.ManyToManyField(Tag)
    notes = GenericRelation("Note")


class Restaurant(Place):
    stars = models.IntegerField(null=True)


class Diner(Restaurant):
    class Meta:
        proxy = True


class Swapped(models.Model):
    lost = models.IntegerField()

    class Meta:
        swappable = "KINDS_SWAPPED_MODEL"


class Replacement(models.Model):
    kept = models.IntegerField()


class Note(models.Model):
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveIntegerField()
    target = GenericForeignKey()


class Pair(models.Model):
    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.IntegerField()


class Box(models.Model):
    width = models.IntegerField(db_default=5)
    twice = models.GeneratedField(expression=models.F("width") * 2, output_field=models.IntegerField(), db_persist=True)
    odd = models.IntegerField(db_column="Odd Name")


class Everything(models.Model):
    """A column of each type."""

    small = models.SmallIntegerField(null=True)
    big = models.BigIntegerField()
    positive = models.PositiveIntegerField()
    positive_small = models.PositiveSmallIntegerField(null=True)
    positive_big = models.PositiveBigIntegerField()
    yes = models.BooleanField()
    text = models.TextField()
    slug = models.SlugField()
    email = models.EmailField()
    url = models.URLField()
    decimal = models.DecimalField(max_digits=6, decimal_places=2)
    number = models.FloatField(null=True)
    day = models.DateField()
    moment = models.DateTimeField()
    hour = models.TimeField()
    span = models.DurationField()
    data = models.JSONField(null=True)
    key = models.UUIDField()
    raw = models.BinaryField()
    address = models.GenericIPAddressField()
    file = models.FileField()
    given = models.CharField(max_length=5, db_default="x")
    parent = models.ForeignKey(Place, on_delete=models.CASCADE, null=True)
    only = models.OneToOneField(Tag, on_delete=models.CASCADE)


class Upper(models.Model):
    mixed = models.IntegerField(db_column="MixedCase")

    class Meta:
        db_table = "UpperCase"


class Legacy(models.Model):
    something = models.IntegerField()

    class Meta:
        managed = False
        db_table = "legacy_view"


class PlaceAsOthersSeeIt(models.Model):
    name = models.CharField(max_length=20)
    theirs = models.IntegerField()

    class Meta:
        managed = False
        db_table = "kinds_place"
