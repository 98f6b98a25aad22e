"""The Python functions of the sample Blueprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from engine.build import (
    AgentFailed,
    AgentResult,
    AgentStep,
    agent_function,
    blocked,
)

LARGEST_FILE = 8 * 1024 * 1024


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            return opened.read(LARGEST_FILE).decode(errors="replace")
    except OSError as error:
        # The file was removed after it was listed, so a retry can't succeed.
        raise AgentFailed(f"can't read {path}: {error.strerror}", True) from None


@agent_function("digest-measure")
def measure(file: dict[str, str], *, step: AgentStep) -> dict[str, Any]:
    """Return the measures of one text file, `{root, path}`."""
    path = Path(file["root"], file["path"])
    text = _read_text(path)
    lines = text.splitlines()
    return {
        "path": file["path"],
        "lines": len(lines),
        "words": len(text.split()),
        "bytes": path.stat().st_size,
        "longest": max(map(len, lines), default=0),
        "todo": text.count("TODO"),
    }


@agent_function("digest-rank")
def rank(settled: list[dict[str, Any]], *, step: AgentStep) -> dict[str, Any]:
    """Return the totals of settled lanes, and the candidates for outliers."""
    good = [lane["value"] for lane in settled if lane["status"] == "fulfilled"]
    lines = sum(file["lines"] for file in good)
    mean = lines / len(good) if good else 0.0
    ranked = sorted(good, key=lambda file: (-file["lines"], file["path"]))
    return {
        "files": len(good),
        "unread": [lane["reason"] for lane in settled if lane["status"] == "rejected"],
        "lines": lines,
        "words": sum(file["words"] for file in good),
        "bytes": sum(file["bytes"] for file in good),
        "todo": sum(file["todo"] for file in good),
        "mean": round(mean, 1),
        "candidates": [file for file in ranked[:20] if file["lines"] > 2 * mean],
        "outliers": [],
    }


@agent_function("digest-pick")
def pick(digest: dict[str, Any], *, step: AgentStep) -> dict[str, Any]:
    """Return the digest with its largest candidate moved to the outliers."""
    first, *rest = digest["candidates"]
    return {**digest, "candidates": rest, "outliers": [*digest["outliers"], first]}


@agent_function("digest-report")
def report(digest: dict[str, Any], *, step: AgentStep) -> dict[str, Any]:
    """Write a Markdown report and return its path and totals.

    The file is named after the run, so another attempt writes the same file.
    """
    folder = Path(settings.VAR_DIR) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"| {file['path']} | {file['lines']} | {file['words']} | {file['longest']} |"
        for file in digest["outliers"]
    ]
    text = "\n".join(
        [
            "# Repository digest",
            "",
            f"{digest['files']} text files, {digest['lines']} lines,"
            f" {digest['words']} words, {digest['bytes']} bytes,"
            f" {digest['todo']} to do;"
            f" {digest['mean']} lines a file on average.",
            "",
            "| largest files | lines | words | longest line |",
            "|---|---|---|---|",
            *rows,
            "",
            *(f"- not read: {reason}" for reason in digest["unread"]),
        ]
    )
    path = folder / f"{step.run}.md"
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    return {"path": str(path), "files": digest["files"], "lines": digest["lines"]}


@agent_function("words-paragraphs")
def paragraphs(file: str, *, step: AgentStep) -> list[str]:
    """Return the paragraphs of a text file; a relative path is below the project's folder."""
    text = _read_text(Path(settings.SWARM_PROJECT_DIR, file))
    return [part.strip() for part in text.split("\n\n") if part.strip()]


@agent_function("verdict-draft")
def draft(count: float, *, step: AgentStep) -> dict[str, Any]:
    """Return the draft of a round; its quality rises each round."""
    number = int(count) + 1
    return {"round": number, "text": "word " * (10 * number), "quality": number / 3}


@agent_function("verdict-gate")
def gate(work: dict[str, Any], *, step: AgentStep) -> AgentResult | dict[str, Any]:
    """Pass a draft that is good enough, and block any other with its fault."""
    if work["quality"] < 1:
        return blocked({"verdict": "REDO", "missing": "more words", **_short(work)})
    return {"verdict": "PASS", **_short(work)}


def _short(work: dict[str, Any]) -> dict[str, Any]:
    return {"round": work["round"], "words": len(work["text"].split())}


@agent_function("verdict-commit")
def commit(review: dict[str, Any], *, step: AgentStep) -> dict[str, Any]:
    """Return the commit of a draft."""
    return {"committed": True, "rounds": review["round"], "id": step.step_id}


@agent_function("verdict-escalate")
def escalate(reason: str, *, step: AgentStep) -> dict[str, Any]:
    """Return the question for a person."""
    return {"committed": False, "ask": f"three drafts were blocked; the last: {reason}"}


@agent_function("unreliable-flaky")
def flaky(value: Any, *, step: AgentStep) -> dict[str, Any]:
    """Fail in the first two attempts."""
    if step.attempt < 3:
        raise ConnectionError(f"attempt {step.attempt} found nobody at home")
    return {"value": value, "attempts": step.attempt}


@agent_function("unreliable-broken")
def broken(value: Any, *, step: AgentStep) -> Any:
    """Fail for good."""
    raise AgentFailed("this will never work", permanent=True)
