import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

# In SQL, since a program that Python can't read has to be copied as well.
KEEP_ONCE = """
INSERT INTO blueprints_program (id, document, created_at)
SELECT program_id, program, created_at FROM blueprints_run
WHERE id IN (SELECT MIN(id) FROM blueprints_run GROUP BY program_id)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('blueprints', '0006_origin_of_task'),
    ]

    operations = [
        migrations.CreateModel(
            name='Program',
            fields=[
                ('id', models.CharField(help_text='sha-256 of the program.', max_length=64, primary_key=True, serialize=False)),
                ('document', models.JSONField(verbose_name='program as JSON')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-created_at', 'id'],
            },
        ),
        migrations.RunSQL(KEEP_ONCE),
        migrations.RemoveField(
            model_name='run',
            name='program',
        ),
        # The column keeps its name and its values.
        migrations.RenameField(
            model_name='run',
            old_name='program_id',
            new_name='program',
        ),
        migrations.AlterField(
            model_name='run',
            name='program',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='blueprints.program'),
        ),
    ]
