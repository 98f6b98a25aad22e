"""Plants faults into the store's scripts, one after the other, and prints which test finds each.

Run `python tests/support/planted_faults.py [SCRIPT...]`; `--root DIR` looks at another
checkout. The checkout itself is left alone: the faults are planted in a copy of it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path("engine/store/scripts")
TESTS = (
    "tests/engine/store",
    "tests/workers/steward/test_steward.py",
    "tests/workers/steward/test_script_clock.py",
    "tests/engine/run/drive/test_store_limits.py",
    "tests/engine/run",
    "tests/simulation",
)
"""In the order in which they run: the quickest first."""
LONGEST_S = 600

FAULTS: tuple[tuple[str, str, str], ...] = (
    ("break_batch", "span, 'x' .. nonce)", "span, 'x')"),
    ("break_batch", "for i = cursor, hi - 1 do", "for i = cursor + 1, hi - 1 do"),
    ("bury", "bury(ARGV[1], ARGV[2],", "bury(ARGV[2], ARGV[1],"),
    ("bury", "ARGV[3], ARGV[4])", "ARGV[3], '0')"),
    ("claim", "  call('ZREM', S .. 'd:' .. queue, R .. '|' .. a)\n", ""),
    ("claim", "if c.queue ~= queue then return {'taken'} end", ""),
    ("claim_batch", "nonce .. num(lo))", "nonce .. num(lo + 1))"),
    ("claim_batch", "  hold(R, a, queue)\n", ""),
    ("commit", "if offset > c.loglen then return {'stale'} end", ""),
    ("commit", "timeout, offset + #edits,", "timeout, offset,"),
    ("commit_batch", "tonumber(run.extra[2]) - count", "tonumber(run.extra[2]) - 1"),
    ("commit_batch", "if after == hi then unlease(R, a) else", "if after ~= hi then"),
    ("died", "nonce .. how", "how"),
    ("died", " or owner_of(R, a, run) ~= nonce", ""),
    ("discard", "if run.extra[1] == mark then return {'ok'} end", ""),
    ("discard", "if FINAL[run.status] then return {'over'} end", ""),
    ("displace", " or got == ARGV[2]", ""),
    ("displace", "displace(ARGV[1], got, ARGV[2], ARGV[3])", ""),
    ("drop_upload", "call('UNLINK', key .. ':i:' .. ARGV[2])", ""),
    ("drop_upload", "call('SREM', key .. ':u', ARGV[2])", ""),
    ("elect", "(seen == '' or seen ~= clock)", "seen == ''"),
    ("elect", "call('PEXPIRE', key, ttl)", ""),
    ("emit", "(mine and sub(mine, 1, 12) ~= nonce) or ", ""),
    ("emit", "and run.extra[1] == mark then", "and false then"),
    ("expire", "if step and c.tries > 0 then c.tries = c.tries - 1 end", ""),
    ("expire", "c.state = paused and 'h' or 'p'", "c.state = 'p'"),
    ("finish", "call('ZREM', DEADLINES, R .. '|0|0|deadline')", ""),
    ("finish", "if newest > gen then return {'stale'} end", ""),
    ("fire", "if run.status == 'paused' then", "if false then"),
    ("fire", "    call('ZREM', timers, member)\n", ""),
    ("freeze", "if status and not FINAL[status] then", "if status then"),
    ("freeze", "call('ZREM', DEADLINES, ARGV[1] .. '|0|0|deadline')", ""),
    ("head", "'gone')", "'went')"),
    ("head", "return {gen, ", "return {'1', "),
    ("install", "or was[2] ~= token", ""),
    ("install", "if call('LLEN', items) == tonumber(ARGV[6]) then", "if true then"),
    ("open_installed", "point(ARGV[1], gen)", ""),
    ("open_installed", "if newest == gen then", "if false then"),
    ("open", "unlease(R, a)\njournal", "journal"),
    ("open", "k, chord, 0, 0)", "k, chord, 1, 0)"),
    ("pause", "if run.status ~= 'running' then return {run.status} end", ""),
    ("pause", "num(run.n + 1))", "num(run.n))"),
    ("postpone", "  c.tries = math.max(0, c.tries - 1)\n", ""),
    ("postpone", " or run.extra[1] then", " or false then"),
    ("prelude", " or c.seq ~= seq then return 'stale'", " then return 'stale'"),
    ("prelude", "if FINAL[run.status] then return 'over', c end", ""),
    ("prelude", "math.min(till, deadline + GRACE)", "math.min(till, deadline)"),
    ("reconciled", "call('SET', '$RECONCILED', ARGV[1])", ""),
    ("reconciled", "'epoch', ARGV[2])", "'epoch', ARGV[3])"),
    ("release_batch", "(ARGV[4] == num(cursor) and '-' or '=')", "'='"),
    ("release_batch", "if run.status == 'paused' then", "if false then"),
    ("release", "call('RPOP', waiting)", ""),
    ("release", "its_number > number)", "its_number >= number)"),
    ("remove", "  call('SREM', S .. 'removing', ARGV[1])\n", ""),
    ("remove", " or not rests", ""),
    ("renew", "elseif owner ~= nonce then", "elseif not owner then"),
    ("renew", "math.min(till or now + lease_ms, now + lease_ms)", "now + lease_ms"),
    ("repeat", "call('HINCRBY', S .. 'again', member, 1)", ""),
    ("repeat", "math.min(floor - 1, now_us - age * 1000)", "now_us - age * 1000"),
    ("resume", "if c.state == 'h' or waits then", "if false or waits then"),
    ("resume", "left > 0 and 'SADD' or 'SREM'", "'SREM'"),
    ("set_clock", "~= ARGV[1] then return {0} end", "== 'x' then return {0} end"),
    ("set_clock", "if shift < 0 then", "if false then"),
    ("settle", "nonce .. 'F' .. log .. edits", "nonce .. 'F' .. edits"),
    ("settle", "(chord.mode == 'any' and tostring(i) or 'all')", "'all'"),
    ("signal", "if c.state == 'r' then c.last = '' end", ""),
    ("signal", "call('ZREM', RETRIES, ", "call('ZREM', DEADLINES, "),
    ("start", "if before and not FINAL[before] then return {before} end", ""),
    ("start", "if tonumber(ARGV[13]) > 0 then", "if false then"),
    ("trim", " or (was_ms == ms and was_number > number)", ""),
    ("trim", "num(number + 1)", "num(number)"),
    ("upload", "if call('LLEN', items) == at then", "if true then"),
    ("upload", "call('SADD', S .. 'r:' .. ARGV[1] .. ':u', ARGV[2])", ""),
)


def found_by(folder: Path) -> str:
    """Run the tests in a folder; return the first that fails, or an empty text."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *TESTS]
    # It would find every fault, by its text.
    command += ["--ignore", "tests/engine/store/test_planted_faults.py"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, text=True, capture_output=True,
            timeout=LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"nothing ended within {LONGEST_S} s"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if failed is None and done.returncode != 0:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return failed[1] if failed else ""


def main() -> int:
    """Plant every fault; return 1 if one of them was not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*")
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory(prefix="swarm-planted-") as name:
        folder = Path(name) / "copy"
        left = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache")
        shutil.copytree(args.root, folder, ignore=left)
        for script, old, new in FAULTS:
            if args.scripts and script not in args.scripts:
                continue
            path = folder / SCRIPTS / f"{script}.lua"
            text = path.read_text()
            path.write_text(text.replace(old, new, 1))
            since = time.monotonic()
            test = found_by(folder)
            path.write_text(text)
            missed += not test
            took = time.monotonic() - since
            print(f"| {script} | `{old.strip()}` -> `{new}` | {test or 'NOTHING'} | {took:.0f} s |", flush=True)  # fmt: skip
    print(f"{missed} not found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
