"""Strict mode, as far as whoever looks at a collection meets it: how many points at once, counting, how many reads."""
import threading
import time

import fault


class ReadLimiter:
    """Of one shard: a bucket that holds a minute's reads and is full at the beginning."""

    def __init__(self, per_minute):
        self.size = self.left = float(per_minute)
        self.last, self.lock = time.monotonic(), threading.Lock()

    def take(self, cost=1):
        with self.lock:
            now = time.monotonic()
            self.left = min(self.size, self.left + (now - self.last) * self.size / 60)
            self.last = now
            if self.left < cost:
                wait = -int(-(cost - self.left) * 60 // self.size)
                raise fault.Fault(429, "Rate limiting exceeded: Read rate limit exceeded: Operation requires "
                                  f"{cost} tokens but only {self.left:.1f} were available. Retry after {wait}s")
            self.left -= cost


class Strict:
    def __init__(self, config):
        strict = config.get("strict_mode_config") or {}
        rate = strict.get("read_rate_limit")
        # Qdrant obeys it also where strict mode is off, once it has loaded the collection.
        self.limiter = ReadLimiter(rate) if rate else None
        self.on = strict if strict.get("enabled") else {}

    def read(self, limit=None, exact=False):
        most = self.on.get("max_query_limit")
        if most is not None and limit is not None and limit > most:
            raise fault.bad_request(f'Limit exceeded {limit} > {most} for "limit". '
                                    f'Help: Reduce the "limit" parameter to or below {most}.')
        if exact and self.on.get("search_allow_exact") is False:
            raise fault.bad_request("Exact search disabled!. Help: Set exact=false.")
        if self.limiter:
            self.limiter.take()
