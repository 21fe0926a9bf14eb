"""A script that asks the database from an event loop and from threads, as ASGI servers do."""

import asyncio
import os
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.test import AsyncRequestFactory  # noqa: E402


async def main() -> None:
    # As `uvicorn --workers` does: the application is loaded while the loop runs.
    application = get_asgi_application()
    for path in ("/pid/", "/waits/7/", "/guard/ready/"):
        request = AsyncRequestFactory().get(path)
        response = await application.get_response_async(request)
        print(path, response.status_code, response.content.decode())


thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
