"""How long the command line takes to answer: `--help`, the import, and a run that is already complete."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time


def seconds(*arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    bare = min(seconds("-c", "import hydra") for _ in range(3))
    for name, arguments in (
        ("import", ["-c", "import collapse_lab.cli.run"]),
        ("--help", ["-m", "collapse_lab", "--help"]),
    ):
        ours = min(seconds(*arguments) for _ in range(3))
        print(f"{name:8} {ours:.2f} s, {ours / bare:.1f} times an `import hydra`")
    with tempfile.TemporaryDirectory() as folder:
        line = [
            "-m",
            "collapse_lab",
            "+experiment=nepotistic",
            "+scale=tiny",
            "sinks=[console]",
            f"paths.runs={folder}",
        ]
        first, again = seconds(*line), seconds(*line)
    print(f"a tiny run {first:.1f} s; the same command again {again:.1f} s")


if __name__ == "__main__":
    main()
