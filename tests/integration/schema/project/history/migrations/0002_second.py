from django.db import migrations


class Migration(migrations.Migration):
    """Mentions replaces, and has none."""

    dependencies = [("history", "0001_initial")]
