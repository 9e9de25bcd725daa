"""Everything that a GPU has to show: parity with the processor, speed and memory.

    python benchmarks/gpu.py FOLDER

Brings CUDA up, runs the operations of benchmarks/cases.py and both networks of
benchmarks/networks.py on both devices, each in a process of its own, and the trunk in PyTorch
where that is installed. Leaves report.json and prints one table. What a part printed lies in its
.log; one that fails or takes longer than LIMIT leaves the others as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMIT = 540  # seconds a part
sys.path.insert(0, str(HERE))


def start(folder: Path, name: str, *command: str) -> subprocess.Popen[bytes]:
    """One part, in a process of its own."""
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)


def run(folder: Path) -> None:
    """All parts that need both devices side by side, then PyTorch."""
    from unidet.backend.runtime import try_cuda

    print(try_cuda().summary, flush=True)
    parts = []
    for device in ("cpu", "cuda"):
        cases = [str(HERE / "cases.py"), device, str(folder / f"cases-{device}.npz")]
        parts.append(start(folder, f"cases-{device}", *cases))
        for stage in ("first", "second"):
            target = str(folder / f"{stage}-{device}")
            networks = [str(HERE / "networks.py"), device, stage, target]
            parts.append(start(folder, f"{stage}-{device}", *networks))
    finish(parts)
    finish([start(folder, "twin", str(HERE / "twin.py"), str(folder / "twin.json"))])


def finish(parts: list[subprocess.Popen[bytes]]) -> None:
    """Waits for all, LIMIT seconds for those that take longest."""
    end = time.monotonic() + LIMIT
    while any(part.poll() is None for part in parts) and time.monotonic() < end:
        time.sleep(0.5)
    for part in parts:
        part.terminate()
        part.wait()


def report(folder: Path) -> dict[str, Any]:
    """What the parts left: differences by name, timings by name, those of PyTorch."""
    from compare import differences

    found: dict[str, Any] = {"differences": {}, "timings": {}}
    for part in ("cases", "first", "second"):
        files = [str(folder / f"{part}-{device}.npz") for device in ("cpu", "cuda")]
        if all(Path(file).is_file() for file in files):
            found["differences"] |= {
                f"{part}: {name}": {"largest": gap, "of": scale}
                for name, gap, scale in differences(*files)
            }
    for name in ("first-cuda", "second-cuda"):
        if (folder / f"{name}.json").is_file():
            found["timings"] |= json.loads((folder / f"{name}.json").read_text())
    if (folder / "twin.json").is_file():
        found["pytorch"] = json.loads((folder / "twin.json").read_text())
    return found


def main(target: str) -> None:
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    run(folder)
    found = report(folder)
    (folder / "report.json").write_text(json.dumps(found, indent=1))
    for name, gap in found["differences"].items():
        print(f"{name:64} {gap['largest']:10.3g} of {gap['of']:10.3g}")
    for name, took in found["timings"].items():
        print(f"{name:64} {took:10.4f} s")
    for name, took in found.get("pytorch", {}).items():
        print(f"PyTorch, {name}: {took}")


if __name__ == "__main__":
    main(*sys.argv[1:])
