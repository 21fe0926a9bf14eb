"""What takes something away and runs whole."""

from django.db import migrations

from guard.phases import Phase


class Migration(migrations.Migration):
    guard_phase = Phase.CONTRACT

    dependencies = [("stock", "0001_initial")]

    operations = [
        migrations.RunSQL("CREATE TABLE stock_note (id integer)"),
        migrations.RunSQL("ALTER TABLE stock_item RENAME COLUMN old TO elder"),
    ]
