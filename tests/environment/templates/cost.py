"""What the backups of one node cost in a month, as docker/COST.md tells it: prices, the default schedule and retention, arithmetic."""
from programs import default_of, emf_metrics

# USD in us-east-1, late 2026: EFS Standard and IA a GB-month, Elastic writes a GB; data to another Region; AWS Backup of EFS, warm; a metric, an alarm.
PRICE = {"standard": 0.30, "write": 0.06, "transfer": 0.02, "backup": 0.05, "metric": 0.30, "alarm": 0.10}
MONTH, BACKUP_DAYS = 30, 35
# Of what whole snapshots take: measured over a day of 96 slots with 1 % of the points changed between two (docs/performance.md).
DELTA_WRITES, DELTA_STORAGE = 0.035, 0.22
FREQUENCIES, BY_FREQUENCY = 4, ("BackupAgeSeconds", "BytesStored", "CompressionRatio", "PublishSeconds")


def kept():
    """How many snapshots of a collection the default retention keeps: a day has 72 of 15min, 23 hourly ones, one daily."""
    days = {}
    for part in default_of("RETENTION").split(","):
        name, keep = part.split("=")
        days[name] = int(keep[:-1]) / 24 if keep.endswith("h") else int(keep.rstrip("d"))
    return 72 * days["15min"] + 23 * days["hourly"] + days["daily"] - 1 + days["monthly"]


def metrics():
    names, _ = emf_metrics()
    return len(names - set(BY_FREQUENCY)) + FREQUENCIES * len(BY_FREQUENCY)


def month(gb, deltas=False, alarms=8):
    """USD of each part, for snapshots that have `gb` compressed."""
    written, stored = 96 * gb, kept() * gb
    w, s = (DELTA_WRITES, DELTA_STORAGE) if deltas else (1, 1)
    parts = {"writes": written * MONTH * PRICE["write"] * w, "storage": stored * PRICE["standard"] * s,
             "replica": stored * PRICE["standard"] * s, "transfer": written * MONTH * PRICE["transfer"] * w,
             "AWS Backup": written * BACKUP_DAYS * PRICE["backup"] * w,
             "metrics": metrics() * PRICE["metric"] + alarms * PRICE["alarm"]}
    return parts | {"all": sum(parts.values())}


def table():
    head = ["", *month(1)]
    rows = [[f"{gb} GB{', with deltas' if deltas else ''}", *(f"${v:,.0f}" for v in month(gb, deltas).values())]
            for gb in (1, 10, 100) for deltas in (False, True)]
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] + ["---:"] * (len(head) - 1), *rows])
