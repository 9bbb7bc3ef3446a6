"""What a forecast is worth: the RMSE of a method over those of persistence and damped persistence.

    python benchmarks/forecast.py [DAYS [STARTS [METHOD ...]]]

Prints a line of Markdown for each sample, method and lead (3 days, 4 starts, oi and pretrained). The RMSE is
that on observed values of the starts that do not choose; the last column is what would be delivered.
"""

from __future__ import annotations

import sys

import oceanfill

SAMPLES = "sst_clouds", "ssh_med"


def main() -> None:
    """Print the table."""
    days = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    starts = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    columns = "sample", "method", "lead", "RMSE", "/ persistence", "/ damped persistence", "delivered"
    print("| " + " | ".join(columns) + " |\n| --- | --- |" + " ---: |" * 4 + " --- |", flush=True)
    for name in SAMPLES:
        for method in sys.argv[3:] or ("oi", "pretrained"):
            made = oceanfill.forecast(f"sample:{name}.nc", days=days, starts=starts, method=method).attrs
            rows = zip(
                made["rmse_method"],
                made["rmse_persistence"],
                made["rmse_damped_persistence"],
                made["delivered"].split(", "),
                strict=True,
            )
            for lead, (own, kept, damped, delivered) in enumerate(rows, 1):
                numbers = f"{own:.4g}", f"{own / kept:.3f}", f"{own / damped:.3f}"
                print("| " + " | ".join([name, method, str(lead), *numbers, delivered]) + " |", flush=True)


if __name__ == "__main__":
    main()
