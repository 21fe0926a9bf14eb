"""WSGI."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
application = get_wsgi_application()

if os.environ.get("QUERY_AT_LOAD"):
    from django.db import connection
    from stock.models import Item

    Item.objects.count()
    connection.close()
