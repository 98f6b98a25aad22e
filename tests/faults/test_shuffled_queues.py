"""Queue lists doubled and shuffled, script replies lost: the store's fence decides."""

import threading
import time
from collections import Counter

import pytest
from fault_installation import Installation, dumps, fanout, step
from flow_documents import seq
from losing_proxy import LosingProxy

from engine.flow import evaluate, parse_node

RUNS = 200
FLOW = seq(
    step("quick"), step("quick"), fanout(list(range(6)), step("quick")), step("quick")
)
MESS = """
local names = redis.call('KEYS', 'swarm:q:swarm.*')
local n = 0
math.randomseed(tonumber(ARGV[1]))
for _, key in ipairs(names) do
  if redis.call('TYPE', key).ok == 'list' then
    local all = redis.call('LRANGE', key, 0, 400)
    redis.call('LTRIM', key, #all, -1)
    local out = {}
    for _, text in ipairs(all) do
      out[#out + 1] = text
      if n < 4000 and math.random() < 0.3 then
        out[#out + 1] = text
        n = n + 1
      end
    end
    for i = #out, 2, -1 do
      local j = math.random(i)
      out[i], out[j] = out[j], out[i]
    end
    for _, text in ipairs(out) do redis.call('LPUSH', key, text) end
  end
end
return n
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_doubled_shuffled_and_unanswered_messages_change_nothing(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installation.info.socket_path is not None
    proxy = LosingProxy(
        installation.var / "p.sock", installation.info.socket_path, 0.02, seed=7
    )
    behind = {
        "DJANGO_SETTINGS_MODULE": "fault_settings",
        "FAULT_STATE_URL": f"unix://{installation.var / 'p.sock'}?db=0",
        "SWARM_STEP_BUDGET": "3",
        "SWARM_LANE_BATCH": "2",
    }
    for _ in range(2):
        installation.worker(**behind)
    time.sleep(3)
    stop, doubled = threading.Event(), [0]

    def mess() -> None:
        seed = 0
        while not stop.wait(0.02) and doubled[0] < 5000:
            seed += 1
            doubled[0] += int(installation.store.wire.call("EVAL", MESS, 0, seed))

    harness = threading.Thread(target=mess)
    harness.start()
    runs = installation.launch(FLOW, {"n": 0}, RUNS)
    statuses = installation.wait(runs, 120)
    stop.set()
    harness.join()
    want = dumps(evaluate(parse_node(FLOW), {"n": 0}, lambda ref, value: value + 1))
    events = installation.events(runs)
    committed = Counter((r, e[1]) for r, e in events if e[0] == "passed")
    ends = {dumps(installation.ctx(run)) for run in runs}
    with capsys.disabled():
        print(
            f"\n{RUNS} runs, {len(committed)} steps committed,"
            f" {doubled[0]} messages doubled, {proxy.lost} replies lost"
        )
    # Its clients are the workers, so they go first.
    installation.stop()
    proxy.close()
    assert Counter(statuses.values()) == {"done": RUNS}
    assert doubled[0] > 50
    assert proxy.lost > 20
    assert set(committed.values()) == {1}
    assert len(committed) == RUNS * 9
    assert ends == {want}
