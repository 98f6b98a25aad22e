"""An installation: the name that a database shares with its Redis."""

from django.db import models


class Installation(models.Model):
    """The only row of its table, with the name of this database."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=32)
    outputs_probe = models.CharField(
        max_length=64,
        blank=True,
        help_text="The content by which every host knows that it reads the same outputs.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="one_installation")
        ]

    def __str__(self) -> str:
        return self.name
