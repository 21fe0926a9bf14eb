"""Calls of the ORM that few projects make, for what they send."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connections, models
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
)
from django.db.models import functions as db
from django.db.models.expressions import Col, CombinedExpression, OrderBy, RawSQL, RowRange, ValueRange
from django.db.models.fields.json import KT

from tests.integration.attribution.library import (
    Author,
    Book,
    BookNote,
    Chapter,
    Country,
    Invoice,
    Label,
    Novel,
    Odd,
    Publisher,
    Review,
    Saga,
    Tag,
    Ticket,
)

Call = Callable[[], Any]


def reads(alias: str) -> list[Call]:
    """Calls that read."""
    books = Book.objects.using(alias)
    authors = Author.objects.using(alias)
    reviews = Review.objects.using(alias)
    tags = Tag.objects.using(alias)
    chapters = Chapter.objects.using(alias)
    countries = Country.objects.using(alias)
    publishers = Publisher.objects.using(alias)
    novels = Novel.objects.using(alias)
    odd = Odd.objects.using(alias)
    of_book = Review.objects.filter(book=OuterRef("pk"))
    fine = FilteredRelation("reviews", condition=Q(reviews__status="x"))
    plain = FilteredRelation("reviews", condition=Q(reviews__rating__gt=F("pages")))
    title_or = Case(When(title="x", then=Value(1)), When(pages=1, then=2), default=0, output_field=IntegerField())
    return [
        # Relations that are filtered.
        lambda: list(books.annotate(r=fine).values("r__rating")),
        lambda: list(books.annotate(r=plain).values("r__rating", "pk")),
        lambda: list(books.annotate(r=fine).exclude(r__rating=1).values("pk")),
        lambda: list(books.annotate(r=plain).annotate(n=Count("r")).order_by("-n").values("n")),
        lambda: list(
            books.annotate(a=FilteredRelation("author", condition=Q(author__name="x"))).filter(a__active=True)
        ),
        lambda: list(
            books.annotate(a=FilteredRelation("author", condition=Q(author__active=True)))
            .filter(a__email="x")
            .values("pk")
        ),
        lambda: list(
            books.annotate(
                c=FilteredRelation("author__country", condition=Q(author__country__name="x")),
            ).values("c__name", "pk")
        ),
        # Subqueries in subqueries.
        lambda: list(
            authors.annotate(
                worst=Subquery(
                    Book.objects.filter(author=OuterRef("pk"))
                    .annotate(low=Subquery(of_book.order_by("rating").values("rating")[:1]))
                    .values("low")[:1]
                )
            ).values("worst")
        ),
        lambda: list(
            authors.annotate(
                worst=Subquery(
                    Book.objects.filter(author=OuterRef("pk"))
                    .annotate(low=Subquery(of_book.order_by("created").values("rating")[:1]))
                    .values("low")[:1]
                )
            ).values("worst")
        ),
        lambda: list(
            authors.filter(
                Exists(
                    Book.objects.filter(
                        Exists(Review.objects.filter(book=OuterRef("pk"), body=OuterRef(OuterRef("email")))),
                        author=OuterRef("pk"),
                    )
                )
            ).values("pk")
        ),
        lambda: list(
            authors.filter(
                Exists(
                    Book.objects.filter(
                        Exists(Review.objects.filter(book=OuterRef("pk"), body=OuterRef(OuterRef("name")))),
                        author=OuterRef("pk"),
                    )
                )
            ).values("pk")
        ),
        lambda: list(books.filter(Exists(of_book.filter(status=OuterRef("status")))).values("pk")),
        lambda: list(books.filter(~Exists(of_book.values("rating"))).values("pk")),
        lambda: list(books.annotate(has=Exists(of_book)).filter(has=True).values("pk")),
        lambda: list(books.annotate(has=Exists(of_book)).order_by("has").values("has")),
        lambda: list(books.filter(pk__in=of_book.values("book_id")).values("pk")),
        lambda: list(books.filter(pages__in=reviews.order_by("created").values("rating")[:3]).values("pk")),
        lambda: list(books.filter(pages__in=reviews.values("rating").distinct()).values("pk")),
        lambda: list(books.filter(title__in=authors.values("name")).values("pk")),
        lambda: list(books.exclude(pk__in=chapters.filter(title="x").values("book")).values("pk")),
        lambda: list(books.filter(pages__gt=Subquery(of_book.values("book").annotate(m=Max("rating")).values("m")))),
        lambda: list(books.annotate(n=Subquery(of_book.values("book").annotate(c=Count("*")).values("c"))).values("n")),
        lambda: list(
            books.annotate(n=Subquery(of_book.values("book").annotate(c=Count("status")).values("c"))).values("n")
        ),
        lambda: list(books.annotate(f=Func(Subquery(of_book.values("body")[:1]), function="LOWER")).values("f")),
        lambda: list(books.filter(author=Subquery(Author.objects.order_by("name").values("pk")[:1])).values("pk")),
        lambda: list(books.values("author").filter(author__in=Author.objects.all()).annotate(s=Sum("pages"))),
        # Combined queries.
        lambda: list(books.values("pk", "title").union(chapters.values("pk", "title")).values("pk")),
        lambda: list(books.values("pk", "pages").union(chapters.values("pk", "number")).values_list("pages")),
        lambda: list(
            books.values("pk").union(chapters.values("pk"), reviews.values("pk"), all=True).order_by("-pk")[:2]
        ),
        lambda: list(books.only("pk").union(books.filter(status="x").only("pk"))),
        lambda: list(books.union(books.filter(pages=1)).values("pages")),
        lambda: list(books.union(books.filter(pages=1)).order_by("title")),
        lambda: books.values("pk").union(chapters.values("pk")).count(),
        lambda: books.values("pk").union(chapters.filter(title="x").values("pk")).exists(),
        lambda: list(books.values_list("title").difference(authors.values_list("name"), authors.values_list("email"))),
        lambda: list(books.values_list("pages").intersection(chapters.values_list("number")).order_by("pages")),
        lambda: list(tags.filter(pk__in=books.values("pk").union(chapters.values("pk"))).values("slug")),
        lambda: list(
            books.annotate(t=Value("a")).values("t", "pk").union(authors.annotate(t=F("email")).values("t", "pk"))
        ),
        lambda: list(
            books.annotate(t=Value("a")).values("t", "pk").union(authors.annotate(t=F("name")).values("t", "pk"))
        ),
        lambda: list((books.filter(pages=1) | books.filter(author__name="x")).values("pk")),
        lambda: list((books.filter(pages=1) & books.filter(tags__slug="x")).values("pk")),
        lambda: list((books.filter(pages=1) ^ books.filter(title="x")).values("pk")),
        lambda: list(books.filter(Q(pages=1) ^ Q(title="x") ^ Q(author__active=True)).values("pk")),
        # Windows.
        lambda: list(
            books.annotate(
                s=Window(Sum("pages"), partition_by=[F("author"), F("published")], frame=RowRange(start=-1, end=0))
            ).values("s")
        ),
        lambda: list(
            books.annotate(
                s=Window(Sum("pages"), order_by=F("title").asc(), frame=ValueRange(start=None, end=0))
            ).values("s")
        ),
        lambda: list(books.annotate(s=Window(db.Ntile(4), order_by=[F("pages").desc(), "title"])).values("s")),
        lambda: list(books.annotate(s=Window(db.FirstValue("status"), partition_by="author")).values("s")),
        lambda: list(books.annotate(s=Window(db.NthValue("pages", 2), order_by="pk")).values("s")),
        lambda: list(books.annotate(s=Window(db.CumeDist(), order_by="author__name")).values("s")),
        lambda: list(books.annotate(s=Window(db.PercentRank(), order_by="author__email")).values("s")),
        lambda: list(books.annotate(s=Window(Avg("pages"), partition_by=db.ExtractYear("published"))).values("s")),
        lambda: list(
            books.annotate(r=Window(db.RowNumber(), partition_by="author", order_by="-pages")).filter(r__lte=2, pages=1)
        ),
        lambda: list(
            books.annotate(r=Window(db.RowNumber(), order_by="-pages")).filter(Q(r=1) | Q(pages=2)).values("r")
        ),
        lambda: list(
            books.annotate(r=Window(db.RowNumber(), order_by="-pages")).filter(Q(r=1) | Q(title="x")).values("r")
        ),
        lambda: list(books.order_by(Window(db.RowNumber(), order_by="title")).values("pk")),
        # Aggregates.
        lambda: books.aggregate(n=Count("pk", filter=Q(title="x")), m=Sum("pages", default=0)),
        lambda: books.aggregate(n=Count("pk", filter=Q(pages=1)), m=Avg("pages", distinct=True)),
        lambda: books.aggregate(StdDev("pages"), Variance("price"), Min("published")),
        lambda: books.aggregate(total=Sum(F("pages") * F("price"), output_field=models.FloatField())),
        lambda: books.annotate(n=Count("chapters")).aggregate(s=Sum("n"), m=Max("title")),
        lambda: books.annotate(n=Count("chapters")).filter(n__gt=1).aggregate(s=Sum("n")),
        lambda: books.values("author").annotate(n=Count("pk")).aggregate(Max("n")),
        lambda: books.values("author__name").annotate(n=Count("pk")).aggregate(Max("n")),
        lambda: books.alias(n=Count("chapters")).filter(n=0).count(),
        lambda: books.alias(n=Max("chapters__title")).filter(n="x").count(),
        lambda: books.annotate(up=db.Upper("title")).count(),
        lambda: books.annotate(up=db.Upper("title")).values("up").distinct().count(),
        lambda: list(books.values("status").annotate(n=Count("pk")).values("n")),
        lambda: list(books.values("pages").annotate(n=Count("pk")).values("n").order_by("n")),
        lambda: list(books.values("published__year").annotate(n=Sum("pages")).order_by("published__year")),
        lambda: list(books.values(up=db.Upper("title")).annotate(n=Count("pk"))),
        lambda: list(books.values(up=db.Length("author__email")).annotate(n=Count("pk"))),
        lambda: list(publishers.annotate(n=Count("books", filter=Q(books__tags__slug="x"))).values("n")),
        lambda: list(publishers.annotate(n=Count("books", filter=Q(books__pages=1))).values("n")),
        lambda: list(publishers.annotate(n=Count("books__author", distinct=True)).filter(n__gt=1).values("pk")),
        lambda: list(countries.annotate(n=Sum("publishers__books__reviews__rating")).values("n")),
        lambda: list(countries.annotate(n=Max("publishers__books__reviews__created")).values("n")),
        lambda: list(books.annotate(n=Count("tags")).values("n", "title").order_by()),
        lambda: list(books.annotate(k=title_or).values("k")),
        lambda: list(books.order_by(title_or).values("pk")),
        lambda: list(books.values("pages").annotate(k=Max(title_or)).values("k")),
        # JSON.
        lambda: list(books.filter(data__a__0__b__isnull=True).values("pk")),
        lambda: list(books.filter(data__contains={"a": 1}).values("pk")),
        lambda: list(books.filter(data__has_keys=["a", "b"]).values("pk")),
        lambda: list(books.filter(data__title="status").values("pk")),
        lambda: list(books.annotate(k=KT("data__a__b")).filter(k="x").values("k")),
        lambda: list(books.annotate(k=db.Cast("data__a", CharField())).values("k")),
        lambda: list(books.values_list("data__a__b", flat=True)),
        lambda: list(books.filter(data__a__in=[1, 2]).values("pk")),
        lambda: list(books.filter(data__a__iexact="x").values("pk")),
        lambda: list(books.filter(data__a__gt=1).order_by("data__b").values("pk")),
        lambda: list(books.filter(data__isnull=False).values("pk")),
        lambda: list(books.filter(data=Value(None, models.JSONField())).values("pk")),
        lambda: list(books.annotate(o=db.JSONObject(t="title", p="pages")).values("o")),
        lambda: list(books.annotate(o=db.JSONObject(title="pages")).values("o")),
        lambda: list(books.annotate(o=db.JSONObject(a=F("author__email"))).values("o")),
        lambda: list(books.filter(pages__in=[1, 2, 3], data__a=F("data__b")).values("pk")),
        # Values, only, defer, in_bulk, dates and so on.
        lambda: books.in_bulk(),
        lambda: books.in_bulk([1, 2, 3]),
        lambda: tags.in_bulk(["a", "b"], field_name="slug"),
        lambda: books.only("pages").in_bulk([1]),
        lambda: list(books.dates("published", "year", order="DESC")),
        lambda: list(books.dates("published", "week")),
        lambda: list(authors.dates("books__published", "day")),
        lambda: list(reviews.datetimes("created", "hour")),
        lambda: list(books.values_list("pages", "author__email", named=True)),
        lambda: list(books.values("pages", x=F("author__name"))),
        lambda: list(books.values("pages", x=Value(1))),
        lambda: list(books.values()),
        lambda: list(books.values("tags", "chapters")),
        lambda: list(books.values("chapters__title")),
        lambda: list(books.values("author_id", "publisher_id")),
        lambda: list(books.values("author", "publisher__country_id")),
        lambda: list(books.defer("title", "status", "data", "publisher")),
        lambda: list(books.defer("title").defer(None)),
        lambda: list(books.only("title").only("pages")),
        lambda: list(
            books.select_related("author__mentor__country", "publisher").defer("author__name", "publisher__name")
        ),
        lambda: list(books.select_related("author").only("pages", "author__mentor")),
        lambda: list(books.select_related("novel")),
        lambda: list(books.select_related("novel").only("pages", "novel__genre")),
        lambda: list(books.select_related(None)),
        lambda: list(books.prefetch_related("author__mentor", "publisher__country", "tags__books")),
        lambda: list(books.prefetch_related(Prefetch("tags", Tag.objects.only("id")))),
        lambda: list(books.prefetch_related(Prefetch("chapters", Chapter.objects.only("book", "number")))),
        lambda: list(books.prefetch_related(Prefetch("author", Author.objects.only("email")))),
        lambda: models.prefetch_related_objects(list(books), "author", "chapters"),
        lambda: list(books.explain()),
        lambda: books.filter(pages=1).only("pages").explain(),
        lambda: books.filter(title="x").values("pk").explain(),
        lambda: list(books.values("pk").iterator(chunk_size=1)),
        lambda: list(books.prefetch_related("tags").iterator(chunk_size=1)),
        lambda: list(books.only("pages").iterator()),
        lambda: books.earliest("published"),
        lambda: books.only("pages").latest("published", "pages"),
        lambda: books.only("pages").order_by("title").last(),
        lambda: books.reverse().only("pages").first(),
        lambda: books.get(pk=1).chapters.order_by("-number").first(),
        lambda: books.only("pages").get(pk=1).title,
        lambda: books.only("pages").get(pk=1).price,
        lambda: books.get(pk=1).author.mentor,
        lambda: list(books.get(pk=1).author.pupils.values("email")),
        lambda: list(countries.get().authors.values("pk")),
        lambda: countries.get().authors.filter(name="x").exists(),
        lambda: books.get(pk=1).tags.filter(name="x").exists(),
        lambda: books.get(pk=1).tags.through.objects.using(alias).count(),
        lambda: list(Book.tags.through.objects.using(alias).values("book")),
        lambda: list(Book.tags.through.objects.using(alias).filter(tag__slug="x").values("book")),
        lambda: books.filter(pk=1).contains(Book(pk=1)),
        lambda: books.filter(status="x").only("pk")[0:0].count(),
        lambda: list(books.order_by("?").values("pk")[:1]),
        lambda: list(books.order_by("author").values("pk")),
        lambda: list(books.order_by("author__name", "-publisher__country__code").values("pk")),
        lambda: list(books.order_by("pk").distinct().values("pages")),
        lambda: list(books.order_by("title").distinct().values("pages")),
        lambda: list(books.order_by(OrderBy(F("pages"), nulls_first=True)).values("pk")),
        lambda: list(books.order_by(db.Coalesce("title", "status").desc()).values("pk")),
        lambda: list(books.none()),
        lambda: list(books.filter(pk__in=[])),
        lambda: list(books.filter(~Q(pk__in=[])).values("pk")),
        lambda: list(books.extra(select={"x": "pages + 1"}, order_by=["x"]).values("x")),
        lambda: list(books.extra(select={"x": "UPPER(title)"}).values("x")),
        lambda: list(books.extra(tables=["country"], where=["country.id = book.id"]).values("pk")),
        lambda: list(books.extra(tables=["country"], where=["country.code = %s"], params=["x"]).values("pk")),
        lambda: list(
            books.extra(select={"n": "SELECT COUNT(*) FROM review WHERE review.book_id = book.id"}).values("n")
        ),
        lambda: list(books.extra(select={"n": "SELECT MAX(status) FROM review"}).values("n")),
        lambda: list(books.annotate(r=RawSQL("book.pages + %s", [1])).values("r")),
        lambda: list(books.annotate(r=RawSQL("title", [])).values("r")),
        lambda: list(books.filter(pk__in=RawSQL("SELECT book_id FROM chapter WHERE title = %s", ["x"])).values("pk")),
        lambda: list(books.filter(pk__in=RawSQL("SELECT book_id FROM chapter WHERE number = %s", [1])).values("pk")),
        lambda: list(books.order_by(RawSQL("(SELECT MAX(rating) FROM review)", [])).values("pk")),
        lambda: list(Book.objects.using(alias).raw("SELECT id, pages AS title FROM book")),
        lambda: list(Book.objects.using(alias).raw("SELECT b.* FROM book b WHERE b.pages = %s", [1])),
        lambda: list(Author.objects.using(alias).raw("SELECT author_id AS id FROM book")),
        lambda: [a.name for a in Author.objects.using(alias).raw("SELECT author_id AS id FROM book")],
        # Lookups and functions.
        lambda: list(books.filter(title__iregex="a", status__icontains="x").values("pk")),
        lambda: list(books.filter(pages__range=(1, 2), price__gte=F("pages") + 1).values("pk")),
        lambda: list(books.filter(published__year__gte=2020, published__month=1).values("pk")),
        lambda: list(books.filter(published__iso_year=2020, published__week_day=1, published__quarter=1).values("pk")),
        lambda: list(reviews.filter(created__time__hour=1).values("pk")),
        lambda: list(reviews.filter(created__gt=F("book__published")).values("pk")),
        lambda: list(books.alias(n=db.Length("status")).filter(n__gt=1).values("pk")),
        lambda: list(books.filter(Q(title=F("status")) | Q(title=F("author__name"))).values("pk")),
        lambda: list(books.filter(title=db.Lower(F("author__email"))).values("pk")),
        lambda: list(
            books.annotate(d=ExpressionWrapper(F("published") + timedelta(days=1), models.DateField())).values("d")
        ),
        lambda: list(books.annotate(d=F("published") - date(2020, 1, 1)).values("d")),
        lambda: list(
            books.annotate(x=db.Greatest("pages", "reviews__rating"), y=db.Least("title", "status")).values("x")
        ),
        lambda: list(books.annotate(x=db.NullIf("title", Value("x")), y=db.Replace("status", Value("a"))).values("y")),
        lambda: list(books.annotate(x=db.StrIndex("title", Value("a")), y=db.Left("status", 1)).values("x", "y")),
        lambda: list(
            books.annotate(
                x=db.Collate(
                    "title", {"sqlite": "nocase", "postgresql": "C"}.get(connections[alias].vendor, "utf8mb4_bin")
                )
            ).values("x")
        ),
        lambda: list(books.annotate(x=db.TruncYear("published"), y=db.ExtractWeek("published")).values("x", "y")),
        lambda: list(books.annotate(x=db.Now(), y=db.Pi(), z=db.Random()).values("x", "y")),
        lambda: list(books.annotate(x=db.Round("price", precision=1), y=db.Mod("pages", 2)).values("x", "y")),
        lambda: list(
            books.annotate(x=CombinedExpression(F("pages"), "%%", Value(2), output_field=IntegerField())).values("x")
        ),
        lambda: list(
            books.annotate(
                x=Func(function="COALESCE", template="COALESCE(book.pages, 1)", output_field=IntegerField())
            ).values("x")
        ),
        lambda: list(
            books.annotate(x=Func(F("pages"), template="(%(expressions)s > 1)", output_field=IntegerField())).values(
                "x"
            )
        ),
        lambda: list(books.annotate(x=Col("book", Book._meta.get_field("pages"))).values("x")),
        lambda: list(books.annotate(x=Col("book", Book._meta.get_field("title"))).values("x")),
        # Locks.
        lambda: list(books.select_for_update().values("pk")),
        lambda: list(books.select_for_update(nowait=True, of=("self",)).only("pages")),
        lambda: list(
            books.select_for_update(skip_locked=True, of=("self", "publisher"))
            .select_related("publisher")
            .only("pages", "publisher__country")
        ),
        lambda: list(novels.select_for_update(of=("self",)).only("genre")),
        lambda: list(novels.select_for_update(of=("self", "book_ptr")).values("pk")),
        lambda: list(books.filter(author__name="x").select_for_update(of=("self",)).values("pk")),
        # Inheritance.
        lambda: list(novels.values("pages", "genre")),
        lambda: list(novels.only("genre")),
        lambda: list(novels.only("pages")),
        lambda: list(novels.defer("title", "status", "data", "publisher", "genre")),
        lambda: list(novels.filter(book_ptr__pages=1).values("pk")),
        lambda: list(novels.order_by("title").values("pk")),
        lambda: list(Saga.objects.using(alias)),
        lambda: list(Saga.objects.using(alias).only("volumes")),
        lambda: list(Saga.objects.using(alias).filter(genre="x").values("pk")),
        lambda: list(Saga.objects.using(alias).filter(pages=1).values("pk", "price")),
        lambda: list(books.filter(novel__saga__volumes=1).values("pk")),
        lambda: list(books.filter(novel__isnull=True).values("pk")),
        lambda: list(books.select_related("novel__saga")),
        lambda: list(odd.values("group").annotate(n=Count("pk")).order_by("group")),
        lambda: list(odd.values("plain").annotate(n=Sum("desc"))),
        lambda: list(odd.values("plain", "spaced")),
        lambda: list(odd.annotate(desc2=F("plain")).values("desc2").order_by("-desc2")),
        lambda: list(BookNote.objects.using(alias).values("book")),
        lambda: async_to_sync(books.acount)(),
        lambda: async_to_sync(books.only("pages").afirst)(),
        lambda: async_to_sync(books.filter(title="x").aexists)(),
        lambda: async_to_sync(books.aaggregate)(Max("pages")),
    ]


def unusual_models(alias: str) -> list[Call]:
    """Calls on composite keys, columns that the database fills, generic relations."""
    tickets = Ticket.objects.using(alias)
    invoices = Invoice.objects.using(alias)
    labels = Label.objects.using(alias)
    key = (1, 1)

    def saved(fields: list[str] | None) -> None:
        invoice = invoices.get()
        invoice.net += 1
        invoice.save(update_fields=fields)

    def ticket(fields: list[str] | None) -> None:
        found = tickets.get(pk=key)
        found.note = "x"
        found.save(update_fields=fields)

    return [
        lambda: list(tickets),
        lambda: tickets.get(pk=key),
        lambda: tickets.only("note").get(pk=key),
        lambda: list(tickets.filter(pk=key).values("note")),
        lambda: list(tickets.filter(pk__in=[key, (2, 2)]).values("note")),
        lambda: list(tickets.filter(pk__gt=key).values("note")),
        lambda: list(tickets.filter(number=1).values("note")),
        lambda: list(tickets.values("pk")),
        lambda: list(tickets.values_list("pk", "note")),
        lambda: list(tickets.order_by("pk").values("note")),
        lambda: list(tickets.order_by("-number").values("note")),
        lambda: tickets.count(),
        lambda: tickets.filter(pk=key).exists(),
        lambda: tickets.in_bulk([key]),
        lambda: list(tickets.filter(invoice__tax=1).values("note")),
        lambda: list(tickets.filter(pk__in=Ticket.objects.filter(note="x").values("pk")).values("note")),
        lambda: list(invoices.filter(tickets__status="x").values("pk")),
        lambda: list(invoices.filter(tickets__number=1).values("net")),
        lambda: list(invoices.annotate(n=Count("tickets")).values("n")),
        lambda: list(invoices.annotate(n=Count("tickets__note")).values("n")),
        lambda: list(invoices.prefetch_related("tickets")),
        lambda: list(invoices.filter(Exists(Ticket.objects.filter(invoice=OuterRef("pk")))).values("net")),
        lambda: tickets.aggregate(n=Count("pk")),
        lambda: tickets.update(note="x"),
        lambda: tickets.filter(pk=key).update(note="x"),
        lambda: tickets.filter(number=1).update(status="x"),
        lambda: tickets.filter(invoice__net=1).update(note="x"),
        lambda: ticket(None),
        lambda: ticket(["note"]),
        lambda: tickets.create(tenant=2, number=2, status="x"),
        lambda: tickets.bulk_create([Ticket(tenant=3, number=n, status="x") for n in range(3)]),
        lambda: tickets.bulk_update(list(tickets), ["note"]),
        lambda: tickets.get_or_create(tenant=1, number=1, defaults={"status": "x"}),
        lambda: tickets.update_or_create(tenant=1, number=1, defaults={"note": "x"}),
        lambda: tickets.filter(pk=key).delete(),
        lambda: tickets.filter(note="x").delete(),
        lambda: tickets.get(pk=key).delete(),
        lambda: tickets.get(pk=key).refresh_from_db(fields=["note"]),
        lambda: tickets.all()._raw_delete(alias),
        lambda: list(invoices),
        lambda: list(invoices.values("net")),
        lambda: list(invoices.values("gross")),
        lambda: list(invoices.filter(gross__gt=1).values("net")),
        lambda: list(invoices.only("net")),
        lambda: list(invoices.defer("gross", "tax", "mark")),
        lambda: invoices.aggregate(Sum("net")),
        lambda: invoices.aggregate(Sum("gross")),
        lambda: invoices.create(net=2),
        lambda: invoices.create(net=2, tax=1, mark="y"),
        lambda: invoices.bulk_create([Invoice(net=n) for n in range(3)]),
        lambda: invoices.bulk_create([Invoice(net=1, tax=1, mark="m"), Invoice(net=2)]),
        lambda: invoices.bulk_create([Invoice(pk=1, net=5)], ignore_conflicts=True),
        lambda: saved(None),
        lambda: saved(["net"]),
        lambda: saved(["mark"]),
        lambda: invoices.update(net=F("net") + 1),
        lambda: invoices.update(net=F("gross")),
        lambda: invoices.update(tax=1),
        lambda: invoices.filter(gross=1).update(net=1),
        lambda: invoices.filter(country__code="x").update(net=1),
        lambda: invoices.get().delete(),
        lambda: invoices.filter(net=5).delete(),
        lambda: list(invoices.get().labels.all()),
        lambda: list(invoices.get().labels.values("pk")),
        lambda: invoices.get().labels.create(text="x"),
        lambda: invoices.get().labels.count(),
        lambda: list(invoices.filter(labels__text="x").values("net")),
        lambda: list(invoices.filter(labels__object_id=1).values("net")),
        lambda: list(invoices.annotate(n=Count("labels")).values("n")),
        lambda: list(invoices.only("net").prefetch_related("labels")),
        lambda: labels.filter(text="x").delete(),
        lambda: labels.update(object_id=1),
        lambda: Country.objects.using(alias).get().delete(),
    ]


def changes(alias: str) -> list[Call]:
    """Calls that write."""
    books = Book.objects.using(alias)
    authors = Author.objects.using(alias)
    tags = Tag.objects.using(alias)
    countries = Country.objects.using(alias)
    novels = Novel.objects.using(alias)
    reviews = Review.objects.using(alias)
    vendor = connections[alias].vendor

    def upsert(query: Any, rows: list[Any], fields: list[str], unique: list[str]) -> None:
        extra = {} if vendor == "mysql" else {"unique_fields": unique}
        query.bulk_create(rows, update_conflicts=True, update_fields=fields, **extra)

    def saga() -> Saga:
        return Saga.objects.using(alias).create(title="s", author=authors.get(), genre="g", volumes=2)

    def changed_saga(fields: list[str]) -> None:
        made = saga()
        made.volumes = 3
        made.save(update_fields=fields)

    return [
        lambda: upsert(countries, [Country(pk=1, name="x", code="y")], ["name"], ["pk"]),
        lambda: upsert(countries, [Country(pk=1, name="x", code="y")], ["code"], ["pk"]),
        lambda: upsert(tags, [Tag(name="a", slug="t"), Tag(name="b", slug="u")], ["name"], ["slug"]),
        lambda: upsert(authors, [Author(name="a", email="e")], ["active"], ["email"]),
        lambda: upsert(
            Chapter.objects.using(alias), [Chapter(book_id=1, number=1, title="x")], ["title"], ["book", "number"]
        ),
        lambda: books.bulk_create([Book(title="x", author=authors.get())], batch_size=1),
        lambda: Odd.objects.using(alias).bulk_create([Odd(group="a", desc=1, spaced="b", accented="c", plain=1)] * 3),
        lambda: countries.bulk_create([Country(name=db.Upper(Value("x")), code="a"), Country(name="y", code="b")]),
        lambda: books.bulk_update([Book(pk=1, pages=F("pages") + 1)], ["pages"]),
        lambda: books.bulk_update([Book(pk=1, title="a"), Book(pk=2, title="b")], ["title", "pages"]),
        lambda: books.bulk_update([Book(pk=1, data={"a": 1})], ["data"]),
        lambda: authors.get_or_create(name="A", defaults={"email": "z"}),
        lambda: authors.get_or_create(active=True, email="q", defaults={"name": db.Lower(Value("X"))}),
        lambda: authors.update_or_create(email="a@example.com", defaults={"born": None}),
        lambda: authors.update_or_create(email="zz", defaults={"name": "x"}, create_defaults={"name": "y"}),
        lambda: books.get(pk=1).chapters.create(title="x", number=7),
        lambda: books.get(pk=1).chapters.update_or_create(number=1, defaults={"title": "y"}),
        lambda: books.get(pk=1).tags.create(name="x", slug="yy"),
        lambda: books.get(pk=1).tags.get_or_create(slug="t", defaults={"name": "x"}),
        lambda: books.get(pk=1).tags.set([], clear=True),
        lambda: tags.get(slug="t").books.clear(),
        lambda: async_to_sync(books.aupdate)(pages=3),
        lambda: async_to_sync(books.aupdate)(title="x"),
        lambda: async_to_sync(countries.acreate)(name="x", code="y"),
        lambda: async_to_sync(countries.aget_or_create)(code="AT"),
        lambda: async_to_sync(reviews.filter(rating=9).adelete)(),
        lambda: async_to_sync(countries.abulk_create)([Country(name="x", code="y")]),
        lambda: books.update(pages=F("pages") * 2, price=Value(1)),
        lambda: books.update(title=F("status")),
        lambda: books.update(data=db.JSONObject(t="title")),
        lambda: books.update(pages=Case(When(title="x", then=1), default=F("pages"))),
        lambda: books.update(pages=RawSQL("pages + %s", [1])),
        lambda: books.update(published=db.Now()),
        lambda: books.update(
            pages=Subquery(Chapter.objects.filter(book=OuterRef("pk")).order_by("title").values("number")[:1])
        ),
        lambda: books.update(
            pages=Subquery(Chapter.objects.filter(book=OuterRef("pk")).order_by("id").values("number")[:1])
        ),
        lambda: books.update(author=authors.get()),
        lambda: books.update(publisher=None),
        lambda: books.order_by("title").update(pages=1),
        lambda: books.order_by("-pages").update(pages=1),
        lambda: books.filter(chapters__title="x").update(pages=1),
        lambda: books.filter(pk__in=Review.objects.filter(rating=1).values("book")).update(pages=1),
        lambda: books.filter(Exists(Review.objects.filter(book=OuterRef("pk"), status="x"))).update(pages=1),
        lambda: books.annotate(n=Count("chapters")).update(pages=2),
        lambda: books.alias(n=Max("chapters__title")).filter(n="x").update(pages=2),
        lambda: novels.update(pages=1),
        lambda: novels.update(genre="x"),
        lambda: novels.filter(title="x").update(genre="y"),
        lambda: novels.filter(genre="x").update(pages=2),
        lambda: novels.filter(genre="x").update(title="y", genre="z"),
        lambda: Saga.objects.using(alias).update(volumes=1, genre="x", pages=2),
        saga,
        lambda: changed_saga(["volumes"]),
        lambda: changed_saga(["genre"]),
        lambda: changed_saga(["pages"]),
        lambda: saga().delete(),
        lambda: saga().delete(keep_parents=True),
        lambda: Saga.objects.using(alias).filter(volumes=9).delete(),
        lambda: Saga.objects.using(alias).filter(title="x").delete(),
        lambda: novels.filter(pages=9).delete(),
        lambda: novels.get().delete(),
        lambda: novels.get().save(),
        lambda: novels.get().save(update_fields=["genre"]),
        lambda: novels.get().save(update_fields=["pages"]),
        lambda: novels.get().save_base(raw=True),
        lambda: Novel(book_ptr_id=1, genre="x").save_base(raw=True, using=alias),
        lambda: books.filter(pages=1).delete(),
        lambda: books.filter(author__name="x").delete(),
        lambda: books.filter(pk__in=Chapter.objects.filter(title="x").values("book")).delete(),
        lambda: Chapter.objects.using(alias).filter(number=9).delete(),
        lambda: Chapter.objects.using(alias).filter(book__pages=9).delete(),
        lambda: Chapter.objects.using(alias).filter(book__status="x")._raw_delete(alias),
        lambda: BookNote.objects.using(alias).filter(note="x").delete(),
        lambda: reviews.filter(book__author__name="x").delete(),
        lambda: Book.tags.through.objects.using(alias).filter(tag__slug="x").delete(),
        lambda: Book.tags.through.objects.using(alias).filter(book=1).delete(),
        lambda: Book.tags.through.objects.using(alias).bulk_create([], ignore_conflicts=True),
        lambda: authors.get().delete(),
        lambda: authors.filter(mentor=None).update(mentor=None),
        lambda: countries.get().authors.add(authors.get()),
        lambda: countries.get().authors.clear(),
        lambda: countries.get().authors.update(email="x"),
        lambda: countries.get().save(force_update=True),
        lambda: countries.get().refresh_from_db(fields=["name"]),
        lambda: countries.get().refresh_from_db(from_queryset=countries.only("name")),
        lambda: Odd.objects.using(alias).filter(group="x").update(spaced="y"),
        lambda: Odd.objects.using(alias).filter(plain=1).delete(),
        lambda: Odd.objects.using(alias).get().save(update_fields=["accented"]),
        lambda: Odd.objects.using(alias).get().save(update_fields=["plain"]),
    ]


def on_postgresql(alias: str) -> list[Call]:
    """Calls that only PostgreSQL answers."""
    from django.contrib.postgres import aggregates as pg
    from django.contrib.postgres import search
    from django.contrib.postgres.expressions import ArraySubquery
    from django.contrib.postgres.fields import ArrayField, IntegerRangeField
    from django.contrib.postgres.functions import RandomUUID, TransactionNow
    from django.contrib.postgres.lookups import SearchLookup

    books = Book.objects.using(alias)
    authors = Author.objects.using(alias)
    array = Func(F("title"), F("status"), template="ARRAY[%(expressions)s]", output_field=ArrayField(CharField()))
    numbers = Func(F("pages"), F("id"), template="ARRAY[%(expressions)s]", output_field=ArrayField(IntegerField()))
    span = Func(F("pages"), F("pages"), function="int4range", output_field=IntegerRangeField())
    return [
        lambda: list(books.annotate(a=array).filter(a__contains=["x"]).values("pk")),
        lambda: list(books.annotate(a=numbers).filter(a__overlap=[1], a__len=2).values("pk")),
        lambda: list(books.annotate(a=numbers).filter(a__contained_by=[1], a__0=1).values("pk")),
        lambda: list(books.annotate(s=span).filter(s__contains=1, s__startswith=1).values("s")),
        lambda: list(books.annotate(s=span).filter(s__not_lt=(1, 2), s__isempty=False).values("pk")),
        lambda: list(books.filter(SearchLookup(F("title"), search.SearchQuery("x"))).values("pk")),
        lambda: list(books.filter(SearchLookup(F("author__email"), search.SearchQuery("x"))).values("pk")),
        lambda: list(
            books.annotate(v=search.SearchVector("title", weight="A", config="english")).filter(v="x").values("pk")
        ),
        lambda: list(books.annotate(h=search.SearchHeadline("status", search.SearchQuery("x"))).values("h")),
        lambda: list(books.annotate(h=search.SearchHeadline("author__email", search.SearchQuery("x"))).values("h")),
        lambda: list(
            books.annotate(
                r=search.SearchRank(
                    search.SearchVector("author__email"), search.SearchQuery("a") | search.SearchQuery("b")
                )
            ).values("r")
        ),
        lambda: list(
            authors.annotate(a=pg.ArrayAgg("books__pages", filter=Q(books__title="x"), distinct=True)).values("a")
        ),
        lambda: list(authors.annotate(a=pg.ArrayAgg("books__pages", default=[])).values("a")),
        lambda: list(authors.annotate(a=pg.JSONBAgg("books__data__x")).values("a")),
        lambda: authors.aggregate(a=pg.Corr("id", "mentor"), b=pg.RegrCount("id", "country")),
        lambda: authors.aggregate(a=pg.RegrSlope("id", "country")),
        lambda: list(
            authors.annotate(a=ArraySubquery(Book.objects.filter(author=OuterRef("pk")).values("pages"))).values("a")
        ),
        lambda: list(
            authors.annotate(
                a=ArraySubquery(
                    Book.objects.filter(author=OuterRef("pk")).values(j=db.JSONObject(t="title", p="pages"))
                )
            ).values("a")
        ),
        lambda: list(books.annotate(u=RandomUUID(), n=TransactionNow()).values("u", "n")),
        lambda: list(books.distinct("pages").order_by("pages", "title").values("pages")),
        lambda: list(books.order_by("author__name").distinct("author__name").values("pages")),
        lambda: list(books.filter(data__contained_by={"a": 1}).values("pk")),
        lambda: list(books.filter(data__has_any_keys=["title"]).values("pk")),
        lambda: list(books.values("pages").explain(analyze=False, verbose=True, format="json")),
        lambda: books.only("pages").explain(format="text", costs=False),
    ]


def calls(alias: str) -> list[Call]:
    """Every call, in a stable order."""
    found = [*reads(alias), *unusual_models(alias), *changes(alias)]
    return found + on_postgresql(alias) if connections[alias].vendor == "postgresql" else found
