"""URLs of the shop."""

from django.urls import path

from shop import views

urlpatterns = [
    path("products/", views.products),
    path("products/<int:pk>/", views.product),
    path("suppliers/", views.suppliers),
    path("suppliers/<int:pk>/", views.supplier),
]
