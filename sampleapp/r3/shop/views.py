"""The shop over HTTP."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods
from shopkit.http import answer, body

from shop.models import Product, Supplier


def as_dict(product: Product) -> dict[str, Any]:
    return {
        "id": product.pk,
        "name": product.name,
        "price": product.price,
        "stock": product.stock,
        "for_sale": product.is_active,
        "brand": product.brand,
        "weight": product.weight,
    }


@require_http_methods(["GET", "POST"])
def products(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        data = body(request)
        created = Product.objects.create(
            name=data["name"],
            price=data["price"],
            brand=data.get("brand", ""),
            weight=data.get("weight"),
            is_active=data.get("for_sale", True),
        )
        return answer(as_dict(created), status=201)
    return answer([as_dict(each) for each in Product.objects.filter(is_active=True).order_by("-pk")[:20]])


@require_http_methods(["GET", "PUT", "DELETE"])
def product(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Product, pk=pk)
    if request.method == "DELETE":
        found.delete()
        return answer({})
    if request.method == "PUT":
        data = body(request)
        found.price = data.get("price", found.price)
        found.is_active = data.get("for_sale", found.is_active)
        found.save()
    return answer(as_dict(found))


@require_http_methods(["GET", "POST"])
def suppliers(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        created = Supplier.objects.create(name=body(request)["name"])
        return answer({"id": created.pk, "name": created.name}, status=201)
    return answer(list(Supplier.objects.order_by("-pk").values("id", "name")[:20]))


@require_http_methods(["DELETE"])
def supplier(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Supplier, pk=pk).delete()
    return answer({})
