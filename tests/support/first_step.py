"""The id of the step that most tests of spawners make an attempt at."""

from engine.ids import step_id

STEP_ID = step_id("R-1", 1, "/children/0")
