from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("history", "0001_squashed_0002_second")]
    replaces: list[tuple[str, str]] = [("history", "0003_gone")]
