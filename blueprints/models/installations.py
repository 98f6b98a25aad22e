"""An installation: which database goes with which Redis."""

from django.db import models


class Installation(models.Model):
    """The one row that names this database; its Redis has the same name."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="one_installation"),
        ]

    def __str__(self) -> str:
        return self.name
