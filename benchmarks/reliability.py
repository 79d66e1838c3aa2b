"""Reliability: several processes, precision, killed runs, runs started together, untrusted input; one table of trials.

    python benchmarks/reliability.py    # four to ten minutes on two CPU cores

The five parts run one after the other, each in its own process, and can be run alone: benchmarks/reliability_*.py
describe what they try and when a trial passes.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reliability.csv"
PARTS = ("distributed", "precision", "resume", "folders", "untrusted")


def main() -> None:
    table = []
    for part in PARTS:
        program = f"import json, reliability_{part} as part; print('ROWS', json.dumps(part.main()))"
        done = subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=False)
        rows = [line for line in done.stdout.splitlines() if line.startswith("ROWS ")]
        if not rows:
            sys.exit(f"reliability_{part} ended without a table:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        table += [[part, *row] for row in json.loads(rows[-1].removeprefix("ROWS "))]
        print(f"{part} done", flush=True)
    width = max(len(str(row[1])) for row in table)
    print(f"\n{'part':<13}{'what':<{width + 2}}{'tried':>7}{'passed':>8}{'seconds':>9}")
    for part, what, tried, passed, seconds in table:
        print(f"{part:<13}{what:<{width + 2}}{tried:>7}{passed:>8}{seconds:>9.1f}")
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "what", "tried", "passed", "seconds"])
        writer.writerows([[*row[:4], f"{row[4]:.1f}"] for row in table])


if __name__ == "__main__":
    main()
