from django.conf import settings
from django.db import migrations

# Group names and their rights, each with those of the group before it.
GROUPS = [
    ("viewer", "view_blueprint", "Can view blueprint"),
    ("author", "change_blueprint", "Can change blueprint"),
    ("publisher", "publish_blueprint", "Can move the aliases of a Blueprint"),
    ("admin", "archive_blueprint", "Can archive and unarchive a Blueprint"),
]


def seed(apps, schema_editor):
    """Make the groups; one that is there already keeps what it has besides."""
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    # Django makes the permissions of a table only after all migrations.
    kind, _ = ContentType.objects.get_or_create(app_label="blueprints", model="blueprint")
    rights = []
    for name, codename, text in GROUPS:
        right, _ = Permission.objects.get_or_create(
            content_type=kind, codename=codename, defaults={"name": text}
        )
        rights.append(right)
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*rights)


class Migration(migrations.Migration):

    dependencies = [
        ("blueprints", "0009_api_keys"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
