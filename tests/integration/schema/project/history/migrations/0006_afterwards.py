from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("history", "0005_added")]


Migration.replaces = [("history", "0006_one")]
