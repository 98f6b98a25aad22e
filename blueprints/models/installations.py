"""An installation: the name that a database shares with its Redis."""

from django.db import models


class Installation(models.Model):
    """The only row of its table: the name of this database, and the Redis it was with last."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=32)
    outputs_probe = models.CharField(
        max_length=64,
        blank=True,
        help_text="The content by which every host knows that it reads the same outputs.",
    )
    epoch = models.CharField(
        max_length=64, blank=True, default="", help_text="The newest data in Redis."
    )
    server = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="The run id of the server process whose data were compared last.",
    )
    place = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Which embedded server that was; empty for any other.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="one_installation")
        ]

    def __str__(self) -> str:
        return self.name
