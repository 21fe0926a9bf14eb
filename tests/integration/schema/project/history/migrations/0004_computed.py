from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("history", "0003_annotated")]
    replaces = [("history", f"0004_{word}") for word in ("one", "two")]
