"""What a bench has measured, as rows of docs/performance.md: `WRITE=1` puts them there, in place of the rows of the same name."""
import os
import re

import plots

PAGE = plots.DOCS / "performance.md"


def put(heading, rows):
    """`rows`: lists of cells, the name first. Those that the table has are replaced, others follow."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join(lines), flush=True)
    if not os.environ.get("WRITE"):
        return
    page = PAGE.read_text()
    begin = re.search(rf"^## {re.escape(heading)}\n", page, re.M).end()
    table = re.compile(r"(?:^\|[^\n]*\n)+", re.M).search(page, begin)
    there = table[0].splitlines()
    for row, line in zip(rows, lines):
        at = [i for i, old in enumerate(there) if old.startswith(f"| {row[0]} |")]
        if at:
            there[at[0]] = line
        else:
            there.append(line)
    PAGE.write_text(page[:table.start()] + "\n".join(there) + "\n" + page[table.end():])
    plots.main()
