"""A run: one execution of a task. Redis has the current state of a live run."""

from functools import partial

from django.db import models
from django.utils import timezone

from blueprints.models.blueprint_versions import BlueprintVersion
from blueprints.models.programs import Program
from blueprints.models.readable_json import ReadableJSONField
from blueprints.models.tasks import Task
from engine.ids import new_id
from engine.run.states import RunStatus


class GenerationColumns(models.Model):
    """What is of one generation of a run: its program, status, result and times."""

    status = models.CharField(
        max_length=16,
        choices=[(status.value, status.value) for status in RunStatus],
        default=RunStatus.PENDING.value,
    )
    generation = models.PositiveIntegerField(
        default=1, help_text="Raised by recovery and rerun."
    )
    reason = models.TextField(
        blank=True, help_text="Why this generation was opened; empty for the first."
    )
    line = models.PositiveIntegerField(
        default=1,
        help_text="The generation that began its line: the ids of steps name it. A"
        " recovery continues the line of the generation before.",
    )
    # Its column, `program_id`, is the sha-256 of the program.
    program = models.ForeignKey(
        Program, on_delete=models.PROTECT, related_name="%(class)ss"
    )
    version = models.ForeignKey(
        BlueprintVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="%(class)ss",
        help_text="The version of the Blueprint that was launched; none for a file.",
    )
    ctx = ReadableJSONField("initial ctx")
    result = ReadableJSONField("final ctx", null=True, blank=True)
    error = ReadableJSONField(null=True, blank=True, help_text="{kind, text}")
    sources = models.JSONField(
        default=dict,
        blank=True,
        help_text="Hashes of its functions' source at launch, and folders they are in.",
    )
    epoch = models.CharField(
        max_length=64, blank=True, help_text="The Redis this run lives in."
    )
    opened_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it was opened; empty for the first, which opens with its run.",
    )
    deadline_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    archived_number = models.PositiveBigIntegerField(
        default=0,
        help_text="The last journal entry of this generation that is in this database.",
    )
    journal_number = models.PositiveBigIntegerField(
        default=0, help_text="The number of this generation's last row of the journal."
    )
    journal_hash = models.BinaryField(
        default=b"", help_text="The hash of that row, which the next one contains."
    )
    converted_number = models.PositiveBigIntegerField(
        default=0,
        help_text="Journal entries up to this one were archived before there were hashes:"
        " their bytes were made again from what the database had.",
    )
    unreplayable = models.TextField(
        blank=True,
        default="",
        help_text="Why its journal can't be replayed; empty if it can.",
    )

    class Meta:
        abstract = True


class Run(GenerationColumns):
    """One execution of a task, with the columns of its newest generation."""

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "R"), editable=False
    )
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="runs")
    created_at = models.DateTimeField(default=timezone.now)
    origin = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="forks",
        help_text="The run from which this one was forked.",
    )
    lost_status = models.CharField(
        max_length=16,
        blank=True,
        default="",
        help_text="The status that it had when Redis lost it, and that a recovery gives"
        " back; empty if Redis has it.",
    )
    origin_place = models.TextField(
        blank=True, help_text="The place of the origin's step at which it was forked."
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["status", "created_at"], name="run_status_created"),
            models.Index(fields=["-created_at", "-id"], name="run_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"
