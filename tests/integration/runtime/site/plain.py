"""A server that has no handler of its own for SIGTERM, as waitress has none: plain.py PORT."""

import os
import sys
from wsgiref.simple_server import make_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from wsgi import application

make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
