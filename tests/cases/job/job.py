from engine.build import (
    Blueprint,
    Retry,
    and_,
    branch,
    ctx,
    fanout,
    filter_,
    functions,
    let,
    loop,
    map_,
    not_,
    seq,
    step,
    template,
)

classify = step(
    "classify",
    {"name": ctx.note.name, "text": ctx.note.text, "round": ctx.round},
    out=ctx.label,
    name="classify",
)
one_round = seq(
    fanout(
        filter_(ctx.notes, lambda note: and_(note.size > 0, note.name != "README")),
        bind=ctx.note,
        body=classify,
        join="all_settled",
        select={"name": ctx.note.name, "label": ctx.label},
        max_parallel=8,
        out=ctx.lanes,
    ),
    let(
        ctx.good,
        map_(filter_(ctx.lanes, lambda x: x.status == "fulfilled"), lambda x: x.value),
    ),
    let(ctx.failed, functions.length(ctx.lanes) - functions.length(ctx.good)),
    step(
        "judge", {"notes": ctx.good, "failed": ctx.failed}, out=ctx.score, name="judge"
    ),
    let(ctx.done, and_(ctx.score >= ctx.least, ctx.failed == 0)),
)
title = template(functions.length(ctx.good), " notes in ", ctx.folder)
flow = seq(
    step("list", ctx.folder, out=ctx.notes, name="list"),
    loop(not_(ctx.done), max=3, counter=ctx.round, body=one_round),
    branch(
        ctx.done,
        then=step(
            "report", {"notes": ctx.good, "title": title}, out=ctx.report, name="report"
        ),
        else_=let(
            ctx.halted, template("score ", ctx.score, " after ", ctx.round, " rounds")
        ),
    ),
)
FUNCTIONS = {
    "list": "list-notes",
    "classify": "classify-note",
    "judge": "judge-notes",
    "report": "write-report",
}
blueprint = Blueprint(
    "triage",
    flow,
    agents=[
        {"name": name, "kind": "python_fn", "spec": {"fn_id": function}}
        for name, function in FUNCTIONS.items()
    ],
    timeout={"list": "10s", "classify": "30s"},
    retry={"classify": Retry(max_attempts=3, base="0.5s")},
    init_ctx={"folder": "notes", "least": 0.8, "done": False},
)
