from django.db import migrations


class Migration(migrations.Migration):
    """Replaces two, of which the files are still there."""

    replaces = [("history", "0001_initial"), ("history", "0002_second")]
