"""Runs a wide set of ORM calls and keeps the statements that Django sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from django.core.exceptions import FieldError
from django.db import DatabaseError, NotSupportedError, connections, models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models import functions as db

from tests.integration.attribution import library, orm_unusual
from tests.integration.attribution.library import (
    Author,
    Book,
    BookNote,
    Chapter,
    Country,
    Novel,
    Odd,
    Publisher,
    Review,
    Tag,
)

#: A statement with one set of its parameters.
Statement = tuple[str, Any]
Call = Callable[[], Any]

FILTERS: dict[type[models.Model], list[Callable[[Any], Any]]] = {
    Book: [
        lambda q: q,
        lambda q: q.filter(pages__gt=3, status__in=["a", "b"]),
        lambda q: q.filter(author__name__startswith="A"),
        lambda q: q.filter(tags__slug="x").exclude(reviews__status="bad"),
        lambda q: q.filter(Q(publisher__country__code="AT") | Q(publisher=None)),
        lambda q: q.filter(data__kind="x", chapters__number__lt=F("pages")),
        lambda q: q.filter(Exists(Review.objects.filter(book=OuterRef("pk"), rating__gt=3))),
        lambda q: q.filter(author__in=Author.objects.filter(country__name="Austria")),
        lambda q: q.exclude(tags__name="x").filter(novel__genre="g"),
    ],
    Author: [
        lambda q: q,
        lambda q: q.filter(mentor__mentor__email__contains="x"),
        lambda q: q.filter(books__status="draft", reviews__rating=1),
        lambda q: q.exclude(books__title="x"),
        lambda q: q.filter(~Exists(Book.objects.filter(author=OuterRef("pk"), title=OuterRef("name")))),
        lambda q: q.filter(country__publishers__books__pages=1),
        lambda q: q.filter(born__year=1990, active=True),
    ],
    Review: [
        lambda q: q,
        lambda q: q.filter(created__date=date(2024, 1, 1), book__author__name="A"),
        lambda q: q.filter(author__country__code="AT").exclude(status="x"),
        lambda q: q.filter(book__tags__name__iexact="x"),
    ],
    Chapter: [
        lambda q: q,
        lambda q: q.filter(book__publisher__name="P", status="x"),
        lambda q: q.filter(title=F("book__title")),
    ],
    Tag: [
        lambda q: q,
        lambda q: q.filter(books__status="x"),
        lambda q: q.filter(name__in=Book.objects.values("title")),
    ],
    Publisher: [
        lambda q: q,
        lambda q: q.filter(country__code="AT", books__status="x"),
        lambda q: q.filter(books__author__name="x"),
    ],
    Country: [lambda q: q, lambda q: q.filter(authors__name="x"), lambda q: q.filter(publishers__books=None)],
    Novel: [
        lambda q: q,
        lambda q: q.filter(genre="x", status="y"),
        lambda q: q.filter(author__name="x", chapters__title="y"),
    ],
    BookNote: [lambda q: q, lambda q: q.filter(book=1), lambda q: q.filter(status="x", note="book")],
    Odd: [
        lambda q: q,
        lambda q: q.filter(group="x"),
        lambda q: q.filter(desc__gt=1, plain=2),
        lambda q: q.filter(spaced="x"),
    ],
}

PROJECTIONS: list[Callable[[Any], Any]] = [
    lambda q: list(q),
    lambda q: list(q.only("pk")),
    lambda q: list(q.values("pk")),
    lambda q: q.count(),
    lambda q: q.exists(),
    lambda q: q.aggregate(n=Count("pk", distinct=True), m=Max("pk")),
    lambda q: list(q.distinct()[1:4]),
    lambda q: q.order_by("-pk").first(),
    lambda q: list(q.order_by("?")[:1].values_list("pk", flat=True)),
    lambda q: list(q.values("pk").annotate(n=Count("*")).filter(n__gt=1).order_by("n")),
    lambda q: list(q.annotate(same=F("pk")).filter(same__gt=0).values("same")),
    lambda q: list(q.select_for_update(of=("self",)).values("pk")),
    lambda q: list(q.none() | q),
    lambda q: list(q.values_list("pk").union(Country.objects.using(q.db).values_list("pk")).order_by("pk")),
    lambda q: q.filter(pk__in=[1, 2, 3]).count(),
    lambda q: q.in_bulk([1, 2]),
    lambda q: list(q.annotate(row=Window(db.RowNumber(), order_by="pk")).filter(row=1)),
    lambda q: list(q.annotate(row=Window(db.RowNumber(), partition_by="pk")).filter(row__lt=3).values("pk")),
    lambda q: q.explain(),
    lambda q: list(q.iterator(chunk_size=2)),
    lambda q: q.latest("pk"),
    lambda q: q.contains(q.model(pk=1)),
]

#: Columns by which each model is further projected: all of them, in several ways.
COLUMN_PROJECTIONS: list[Callable[[Any, str], Any]] = [
    lambda q, name: list(q.only(name)),
    lambda q, name: list(q.defer(name)),
    lambda q, name: list(q.values_list(name, flat=True).distinct()),
    lambda q, name: list(q.order_by(name).values("pk")),
    lambda q, name: q.aggregate(n=Count(name), m=Max("pk")),
    lambda q, name: list(q.values(name).annotate(n=Count("pk")).order_by()),
    lambda q, name: list(q.annotate(label=F(name)).values("label").order_by("label")),
    lambda q, name: list(q.filter(**{f"{name}__isnull": False}).values("pk")),
]


def related(alias: str) -> list[Call]:
    """Calls that follow relations and build larger statements."""
    books = Book.objects.using(alias)
    authors = Author.objects.using(alias)
    reviews = Review.objects.using(alias)
    tags = Tag.objects.using(alias)
    newest = Review.objects.filter(book=OuterRef("pk")).order_by("-created")
    calls: list[Call] = [
        lambda: list(books.select_related("author", "publisher__country")),
        lambda: list(books.select_related("author").only("title", "author__email")),
        lambda: list(books.prefetch_related("tags", "chapters", "reviews__author")),
        lambda: list(authors.prefetch_related(Prefetch("books", Book.objects.filter(status="x"), to_attr="found"))),
        lambda: list(authors.prefetch_related(Prefetch("books", Book.objects.only("author_id")))),
        lambda: list(books.annotate(n=Count("reviews"), avg=Avg("reviews__rating")).filter(n__gt=2)),
        lambda: list(books.annotate(newest=Subquery(newest.values("status")[:1])).filter(newest="x").values("newest")),
        lambda: list(books.annotate(newest=Subquery(newest.values("body")[:1])).values("pk", "newest")),
        lambda: list(authors.annotate(total=Sum("books__price")).order_by("-total").values("pk", "total")),
        lambda: list(
            authors.annotate(
                drafts=Count("books", filter=Q(books__status="draft")), rest=Count("books", filter=~Q(books__pages=1))
            )
        ),
        lambda: list(
            books.annotate(
                kind=Case(When(status="draft", then=Value("d")), When(pages__gt=3, then=F("title")), default=Value("x"))
            ).values("kind")
        ),
        lambda: list(
            books.annotate(rank=Window(db.Rank(), partition_by="author", order_by=F("pages").desc())).values("rank")
        ),
        lambda: list(books.annotate(rank=Window(db.Rank(), partition_by="status")).filter(rank=1).values("pk")),
        lambda: list(books.annotate(lag=Window(db.Lag("title"), order_by="pk")).values("lag")),
        lambda: list(
            authors.annotate(fine=FilteredRelation("books", condition=Q(books__status="x"))).filter(fine__pages=1)
        ),
        lambda: list(
            authors.annotate(fine=FilteredRelation("books", condition=Q(books__pages=1)))
            .filter(fine__price=1)
            .values("pk")
        ),
        lambda: list(books.dates("published", "month")),
        lambda: list(reviews.datetimes("created", "day")),
        lambda: list(reviews.annotate(y=db.ExtractYear("created"), m=db.TruncMonth("created")).values("y", "m")),
        lambda: list(
            books.annotate(u=db.Upper("title"), c=db.Concat("title", Value(" "), "author__name")).values("u", "c")
        ),
        lambda: list(books.annotate(c=db.Coalesce("publisher__name", Value("none"))).values("c")),
        lambda: list(books.annotate(x=ExpressionWrapper(F("price") * F("pages"), models.FloatField())).values("x")),
        lambda: list(books.values("author__name").annotate(n=Count("pk")).order_by("author__name")),
        lambda: list(books.values("author").annotate(n=Max("pages")).order_by("author")),
        lambda: list(books.filter(pages=F("author__books__pages")).values("pk")),
        lambda: list(books.filter(data__a__b=1).values("data__a")),
        lambda: list(books.filter(data__has_key="x").values("pk")),
        lambda: list(books.order_by("data__x").values("pk")),
        lambda: list(books.filter(title__regex="^a").values("pk")),
        lambda: list(books.filter(tags__in=tags.filter(name="x")).values("pk")),
        lambda: list(books.filter(Q(tags__name="a") & ~Q(tags__name="b")).values("pk")),
        lambda: list(books.extra(where=["pages > 1"]).values("pk")),
        lambda: list(books.values("pk").union(books.filter(status="x").values("pk"), all=True)),
        lambda: list(books.values_list("title").union(authors.values_list("name"), tags.values_list("name"))[:3]),
        lambda: list(books.values_list("pages").intersection(reviews.values_list("rating"))),
        lambda: list(books.values_list("pages").difference(reviews.values_list("rating"))),
        lambda: list(books.filter(pk__in=authors.values("books")).values("pk")),
        lambda: list(
            authors.filter(
                Exists(Book.objects.filter(author=OuterRef("pk"), pages=1)),
                Exists(Review.objects.filter(author=OuterRef("pk"), status="x")),
            ).values("pk")
        ),
        lambda: list(
            authors.filter(
                Exists(Book.objects.filter(author=OuterRef("pk"), status="x")),
                Exists(Review.objects.filter(author=OuterRef("pk"), rating=1)),
            ).values("pk")
        ),
        lambda: list(books.select_for_update(of=("self", "author")).select_related("author")),
        lambda: list(books.select_for_update(of=("author",)).select_related("author").only("pages", "author__born")),
        lambda: list(reviews.select_for_update(skip_locked=True).values("pk")),
        lambda: list(Book.objects.using(alias).raw("SELECT id, title FROM book WHERE pages > %s", [1])),
        lambda: list(Author.objects.using(alias).raw("SELECT * FROM author")),
        lambda: books.get(pk=1).tags.count(),
        lambda: list(books.get(pk=1).tags.all()),
        lambda: list(books.get(pk=1).author.books.values("pages")),
        lambda: list(books.get(pk=1).reviews.filter(rating=1).values("pk")),
        lambda: books.get(pk=1).novel,
        lambda: Novel.objects.using(alias).get().book_ptr.refresh_from_db(fields=["pages"]),
        lambda: list(tags.filter(books__author__books__tags__slug="x").values("pk")),
        lambda: list(books.alias(n=Count("tags")).filter(n=0).values("pk")),
        lambda: books.aggregate(Sum("price"), Avg("pages"), n=Count("author__name", distinct=True)),
        lambda: books.annotate(n=Count("tags")).aggregate(Max("n")),
        lambda: books[:3].aggregate(Max("pages")),
        lambda: books.distinct().count(),
        lambda: books.order_by("status")[:2].count(),
        lambda: list(books.filter(status=Subquery(Review.objects.values("status")[:1])).values("pk")),
        lambda: list(books.order_by(F("publisher__name").desc(nulls_last=True)).values("pk")),
        lambda: list(books.order_by(db.Lower("title")).values("pk")),
    ]
    return calls


def changes(alias: str) -> list[Call]:
    """Calls that insert, update and delete."""
    books = Book.objects.using(alias)
    authors = Author.objects.using(alias)
    reviews = Review.objects.using(alias)
    tags = Tag.objects.using(alias)

    def book() -> Book:
        return books.get(pk=1)

    def change_and_save(fields: list[str] | None) -> None:
        found = book()
        found.pages += 1
        found.status = "new"
        found.save(using=alias, update_fields=fields)

    def new_tags(count: int, start: int = 0) -> list[Tag]:
        return [Tag(name=f"n{i}", slug=f"s{i + start}") for i in range(count)]

    def bulk_update(fields: list[str]) -> None:
        found = list(tags.all())
        for each in found:
            each.name += "x"
        tags.bulk_update(found, fields)

    upsert = {"update_conflicts": True, "update_fields": ["name"]}
    if connections[alias].vendor != "mysql":
        upsert["unique_fields"] = ["slug"]
    return [
        lambda: authors.create(name="n", email="n@example.com"),
        lambda: authors.get_or_create(email="o@example.com", defaults={"name": "o"}),
        lambda: authors.update_or_create(email="a@example.com", defaults={"name": "b"}),
        lambda: change_and_save(None),
        lambda: change_and_save(["pages"]),
        lambda: change_and_save(["status"]),
        lambda: tags.bulk_create(new_tags(1)),
        lambda: tags.bulk_create(new_tags(7)),
        lambda: tags.bulk_create(new_tags(40)),
        lambda: tags.bulk_create(new_tags(3), ignore_conflicts=True),
        lambda: tags.bulk_create(new_tags(3), **upsert),
        lambda: Odd.objects.using(alias).bulk_create([Odd(group="a", desc=1, spaced="x", accented="y", plain=2)] * 1),
        lambda: bulk_update(["name"]),
        lambda: bulk_update(["name", "slug"]),
        lambda: books.update(pages=F("pages") + 1),
        lambda: books.update(status="x"),
        lambda: books.filter(status="x").update(pages=1),
        lambda: books.filter(author__name="x").update(pages=1),
        lambda: books.filter(tags__name="x").update(status="y"),
        lambda: books.update(title=db.Concat("title", Value("x"))),
        lambda: books.update(pages=Subquery(Review.objects.filter(book=OuterRef("pk")).values("rating")[:1])),
        lambda: books.update(title=Subquery(Author.objects.filter(pk=OuterRef("author")).values("name")[:1])),
        lambda: books.order_by("pk").update(pages=Case(When(status="x", then=Value(1)), default=F("pages"))),
        lambda: Novel.objects.using(alias).update(genre="x", pages=2),
        lambda: Novel.objects.using(alias).update(status="x"),
        lambda: Odd.objects.using(alias).update(plain=1),
        lambda: Odd.objects.using(alias).update(group="x"),
        lambda: Odd.objects.using(alias).update(desc=F("plain")),
        lambda: reviews.filter(rating=1).delete(),
        lambda: reviews.filter(status="x").delete(),
        lambda: reviews.filter(book__title="x").delete(),
        lambda: reviews.all()._raw_delete(alias),
        lambda: tags.filter(slug="x").delete(),
        lambda: book().delete(),
        lambda: authors.filter(active=False).delete(),
        lambda: Publisher.objects.using(alias).all().delete(),
        lambda: Country.objects.using(alias).filter(code="XX").delete(),
        lambda: book().tags.add(tags.create(name="z", slug="z")),
        lambda: book().tags.remove(*tags.all()),
        lambda: book().tags.clear(),
        lambda: book().tags.set(tags.all()),
        lambda: book().reviews.update(rating=2),
        lambda: book().author.books.set([book()]),
        lambda: BookNote.objects.using(alias).create(book=1, status="x", note="y"),
        lambda: BookNote.objects.using(alias).update(note="book.status"),
        lambda: book().refresh_from_db(),
        lambda: book().refresh_from_db(fields=["status"]),
    ]


def on_postgresql(alias: str) -> list[Call]:
    """Calls that only PostgreSQL answers."""
    from django.contrib.postgres import aggregates
    from django.contrib.postgres.aggregates import ArrayAgg, JSONBAgg
    from django.contrib.postgres.expressions import ArraySubquery
    from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector

    # It moved in 6.0.
    string_agg = getattr(models, "StringAgg", None) or aggregates.StringAgg
    books = Book.objects.using(alias)
    vector = SearchVector("title", "status")
    return [
        lambda: list(books.values("author").annotate(t=ArrayAgg("title"))),
        lambda: list(books.values("author").annotate(t=ArrayAgg("pages", filter=Q(status="x")))),
        lambda: list(books.values("author").annotate(t=JSONBAgg("pages", distinct=True))),
        lambda: list(books.annotate(t=string_agg("tags__name", Value(","))).values("t")),
        lambda: list(books.annotate(search=SearchVector("title", "author__name")).filter(search="x").values("pk")),
        lambda: list(books.annotate(rank=SearchRank(vector, SearchQuery("x"))).order_by("-rank").values("pk")),
        lambda: list(books.annotate(s=ArraySubquery(Review.objects.filter(book=OuterRef("pk")).values("status")))),
        lambda: list(
            books.annotate(s=ArraySubquery(Review.objects.filter(book=OuterRef("pk")).values("rating"))).values("s")
        ),
        lambda: list(books.distinct("author").order_by("author", "pages").values("pk")),
        lambda: list(books.distinct("status").order_by("status").values("pk")),
        lambda: list(books.filter(data__contains={"a": 1}).values("pk")),
        lambda: list(books.filter(data__has_any_keys=["a"]).values("pk")),
        lambda: list(books.select_for_update(no_key=True, of=("self",)).values("pk")),
    ]


def calls(alias: str) -> Iterator[Call]:
    """Every call, in a stable order."""
    for model, filters in FILTERS.items():
        for narrow, project in itertools.product(filters, PROJECTIONS):
            yield lambda model=model, narrow=narrow, project=project: project(narrow(model.objects.using(alias)))
        names = [field.name for field in model._meta.concrete_fields if not field.primary_key]
        for narrow, project, name in itertools.product(filters[1:2], COLUMN_PROJECTIONS, names):
            yield lambda model=model, narrow=narrow, project=project, name=name: project(
                narrow(model.objects.using(alias)), name
            )
    yield from related(alias)
    yield from changes(alias)
    if connections[alias].vendor == "postgresql":
        yield from on_postgresql(alias)


def record(alias: str) -> dict[str, Any]:
    """Statements that the calls sent, each with one set of parameters; every call is rolled back.

    Calls that a database or a version of Django does not support are left out.
    """
    connection = connections[alias]
    seen: dict[str, Any] = {}

    def keep(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        first = next(iter(params), None) if many and params else params
        text = str(sql)
        if not text.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "SET ", "PRAGMA")):
            seen.setdefault(text, first)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        for call in (*calls(alias), *orm_unusual.calls(alias)):
            try:
                with transaction.atomic(using=alias):
                    call()
                    transaction.set_rollback(True, using=alias)
            # ValueError: MariaDB without time zone tables, after the statement has run.
            # FieldError: what one version of Django can and another cannot.
            except (DatabaseError, NotSupportedError, models.ObjectDoesNotExist, ValueError, FieldError):
                continue
    return seen


assert set(FILTERS) == set(library.MODELS)
