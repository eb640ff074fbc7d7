"""Which tier a snapshot goes to, written down once more: independent of the program, from the article that the layout
comes from, with catch-up.

On the clock: the snapshot of day 1 08:00 is the monthly one, of 08:00 the daily one, of minute 0 the hourly one, all
others are 15min. With catch-up: whoever comes first in a month, a day, an hour that has none yet takes its place. A
monthly backup is its day's daily one and its hour's hourly one, too."""
import datetime

TIERS = ["15min", "hourly", "daily", "monthly"]
EIGHT = datetime.timedelta(hours=8)


def slot_of(taken):
    return taken.replace(minute=taken.minute // 15 * 15, second=0, microsecond=0)


def period(tier, slot):
    """What the backup stands for: its month, its day, its hour; months and days change at 08:00."""
    shifted = slot - EIGHT
    return {"hourly": (slot.date(), slot.hour), "daily": shifted.date(), "monthly": (shifted.year, shifted.month)}[tier]


class Model:
    """One collection of one node. Give it the snapshots in the order in which they come to EFS."""

    def __init__(self):
        self.taken = {tier: set() for tier in TIERS[1:]}  # periods that have a backup, in that tier or a higher one

    def tier(self, when):
        slot = slot_of(when)
        for tier in reversed(TIERS[1:]):
            if period(tier, slot) not in self.taken[tier]:
                break
        else:
            return "15min"
        for below in TIERS[1:TIERS.index(tier) + 1]:
            self.taken[below].add(period(below, slot))
        return tier
