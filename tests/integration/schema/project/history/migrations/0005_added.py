from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("history", "0004_computed")]
    replaces = [("history", "0005_one")]
    replaces += [("history", "0005_two")]
