"""A schema whose tables share column names, to hold attribution against the databases that run it."""

# ruff: noqa: DJ008 (nobody reads these rows)

from __future__ import annotations

from dataclasses import dataclass

from django.apps.registry import Apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import AppConfigStub

registry = Apps([AppConfigStub("library")])


class Base(models.Model):
    class Meta:
        abstract = True
        app_label = "library"
        apps = registry


class Country(Base):
    name = models.CharField(max_length=50)
    code = models.CharField(max_length=2)

    class Meta(Base.Meta):
        db_table = "country"


class Author(Base):
    name = models.CharField(max_length=50)
    email = models.CharField(max_length=50, unique=True)
    born = models.DateField(null=True)
    active = models.BooleanField(default=True)
    country = models.ForeignKey(Country, models.SET_NULL, null=True, related_name="authors")
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="pupils")

    class Meta(Base.Meta):
        db_table = "author"


class Publisher(Base):
    name = models.CharField(max_length=50)
    country = models.ForeignKey(Country, models.CASCADE, related_name="publishers")

    class Meta(Base.Meta):
        db_table = "publisher"


class Tag(Base):
    name = models.CharField(max_length=50)
    slug = models.CharField(max_length=50, unique=True)

    class Meta(Base.Meta):
        db_table = "tag"


class Book(Base):
    title = models.CharField(max_length=50)
    status = models.CharField(max_length=20, default="draft")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    pages = models.IntegerField(default=0)
    published = models.DateField(null=True)
    data = models.JSONField(default=dict)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books", db_table="book_tags")

    class Meta(Base.Meta):
        db_table = "book"


class Novel(Book):
    genre = models.CharField(max_length=20)

    class Meta(Base.Meta):
        db_table = "novel"


class Chapter(Base):
    book = models.ForeignKey(Book, models.CASCADE, related_name="chapters")
    title = models.CharField(max_length=50)
    number = models.IntegerField()
    status = models.CharField(max_length=20, default="draft")

    class Meta(Base.Meta):
        db_table = "chapter"
        unique_together = [("book", "number")]


class Review(Base):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="reviews")
    rating = models.IntegerField()
    body = models.TextField()
    created = models.DateTimeField()
    status = models.CharField(max_length=20)

    class Meta(Base.Meta):
        db_table = "review"


class BookNote(Base):
    """Its table's name begins with another's, and a column has the name of a table."""

    book = models.IntegerField(db_column="book")
    status = models.CharField(max_length=20)
    note = models.TextField()

    class Meta(Base.Meta):
        db_table = "book_note"


class Odd(Base):
    """Names that are keywords, or need quotes."""

    group = models.CharField(max_length=20, db_column="group")
    desc = models.IntegerField(db_column="desc")
    spaced = models.CharField(max_length=20, db_column="has space")
    accented = models.CharField(max_length=20, db_column="année")
    plain = models.IntegerField()

    class Meta(Base.Meta):
        db_table = "order"


class Saga(Novel):
    volumes = models.IntegerField(default=1)

    class Meta(Base.Meta):
        db_table = "saga"


class Label(Base):
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.IntegerField()
    thing = GenericForeignKey()
    text = models.CharField(max_length=20)

    class Meta(Base.Meta):
        db_table = "label"


class Invoice(Base):
    """Columns that the database fills."""

    net = models.IntegerField(default=0)
    tax = models.IntegerField(db_default=0)
    gross = models.GeneratedField(
        expression=models.F("net") + models.F("tax"), output_field=models.IntegerField(), db_persist=True
    )
    mark = models.CharField(max_length=20, db_default="x")
    country = models.ForeignKey(Country, models.CASCADE, null=True, related_name="invoices")
    labels = GenericRelation(Label)

    class Meta(Base.Meta):
        db_table = "invoice"


class Ticket(Base):
    pk = models.CompositePrimaryKey("tenant", "number")
    tenant = models.IntegerField()
    number = models.IntegerField()
    status = models.CharField(max_length=20)
    note = models.CharField(max_length=20, default="")
    invoice = models.ForeignKey(Invoice, models.SET_NULL, null=True, related_name="tickets")

    class Meta(Base.Meta):
        db_table = "ticket"


#: Of unusual kinds, used by calls of their own alone.
UNUSUAL = (Saga, Label, Invoice, Ticket)
MODELS = (Country, Author, Publisher, Tag, Book, Novel, Chapter, Review, BookNote, Odd)


@dataclass(frozen=True)
class Target:
    """A column, or a whole table, that is held against every statement."""

    table: str
    column: str = ""


TARGETS = (
    Target("book", "status"),
    Target("book", "title"),
    Target("book", "data"),
    Target("book", "publisher_id"),
    Target("author", "name"),
    Target("author", "mentor_id"),
    Target("publisher", "name"),
    Target("country", "code"),
    Target("tag", "slug"),
    Target("tag", "name"),
    Target("book_tags", "tag_id"),
    Target("chapter", "title"),
    Target("review", "status"),
    Target("review", "created"),
    Target("novel", "genre"),
    Target("book_note", "status"),
    Target("order", "group"),
    Target("order", "desc"),
    Target("order", "année"),
    Target("saga", "volumes"),
    Target("label", "text"),
    Target("invoice", "tax"),
    Target("invoice", "gross"),
    Target("invoice", "mark"),
    Target("ticket", "tenant"),
    Target("ticket", "status"),
    Target("tag"),
    Target("review"),
)


def columns(table: str) -> list[str]:
    """The columns of a table, in order."""
    for model in registry.get_models(include_auto_created=True):
        if model._meta.db_table == table:
            return [field.column for field in model._meta.local_concrete_fields]
    raise KeyError(table)


def tables() -> list[str]:
    return [model._meta.db_table for model in registry.get_models(include_auto_created=True)]


def create(connection: BaseDatabaseWrapper) -> None:
    """Make the tables, and a few rows, so that lookups that follow rows find some."""
    with connection.schema_editor() as editor:
        for model in (*MODELS, *UNUSUAL, ContentType):
            editor.create_model(model)
    alias = connection.alias
    country = Country.objects.using(alias).create(name="Austria", code="AT")
    author = Author.objects.using(alias).create(name="A", email="a@example.com", country=country)
    publisher = Publisher.objects.using(alias).create(name="P", country=country)
    tag = Tag.objects.using(alias).create(name="T", slug="t")
    book = Novel.objects.using(alias).create(title="B", author=author, publisher=publisher, genre="g")
    book.tags.add(tag)
    Chapter.objects.using(alias).create(book=book, title="C", number=1)
    Review.objects.using(alias).create(
        book=book, author=author, rating=1, body="", created="2024-01-01T00:00:00Z", status="new"
    )
    BookNote.objects.using(alias).create(book=1, status="new", note="")
    Odd.objects.using(alias).create(group="g", desc=1, spaced="s", accented="a", plain=1)
    # Generic relations look their type up in the default database.
    label = ContentType.objects.db_manager(alias).get_for_model(Invoice)
    ContentType.objects._add_to_cache("default", label)  # type: ignore[attr-defined]
    invoice = Invoice.objects.using(alias).create(net=1, country=country)
    Ticket.objects.using(alias).create(tenant=1, number=1, status="new", invoice=invoice)
