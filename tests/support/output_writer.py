"""Puts outputs into a folder until it is killed, or until a file may grow no more.

Arguments: the folder, and the most bytes that a file may have (0: no bound).
"""

import resource
import sys
from pathlib import Path

from blueprints.stores.outputs.files import FileOutputs
from engine.output_store import OutputsAway

SIZE = 1 << 20


def main() -> None:
    folder, most = Path(sys.argv[1]), int(sys.argv[2])
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    store = FileOutputs(folder)
    number = 0
    while True:
        number += 1
        try:
            name = store.put(f"{number:08}".encode() * (SIZE // 8))
        except OutputsAway as error:
            print(error, flush=True)
            return
        print(name, flush=True)


main()
