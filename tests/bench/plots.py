#!/usr/bin/env python3
"""Draw the tables of docs/performance.md as pictures, docs/plots/*.svg: `make plots`. A test holds the two equal."""
import pathlib
import re
from xml.sax.saxutils import escape

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
# Each picture: the heading of its table, the columns that it draws with their colours, and what they are in.
PLOTS = {
    "deltas.svg": ("Deltas", {"deltas": "#2f6fdb", "restic 0.14": "#c2703d"}, "what the slots of a day leave on EFS, in times of one whole backup"),
    "searches.svg": ("Searches meanwhile", {"p50, idle = 1": "#2f6fdb", "p99, idle = 1": "#c2703d"}, "latency of a search, idle = 1"),
    "restores.svg": ("Restoring a delta", {"seconds": "#2f6fdb", "memory, MiB": "#c2703d"}, "a restore into a file: seconds, and MiB of memory, each of its own scale"),
}
LEFT, BAR, GAP, RIGHT, SCALE, FONT = 400, 14, 18, 70, 480, 13


def table(heading):
    """[{column: cell}] of the first table below that heading."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", (DOCS / "performance.md").read_text(), re.M | re.S)[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line)) for line in lines[2:]]


def shorten(text):
    return text if len(text) <= 52 else text[:51] + "…"


def text(x, y, what, **more):
    extra = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in more.items())
    return f'<text x="{x}" y="{y}"{extra}>{escape(what)}</text>'


def draw(heading, columns, unit):
    rows, y, out = table(heading), 52, []
    most = {c: max(float(row[c]) for row in rows) for c in columns}
    if "own scale" not in unit:
        most = dict.fromkeys(columns, max(most.values()))
    for row in rows:
        name = re.sub(r"[*`]", "", next(iter(row.values())))
        out.append(f"<g><title>{escape(name)}</title>" + text(LEFT - 10, y + BAR, shorten(name), text_anchor="end") + "</g>")
        for column, colour in columns.items():
            wide = round(float(row[column]) / most[column] * SCALE, 1)
            out.append(f'<rect x="{LEFT}" y="{y}" width="{wide}" height="{BAR}" fill="{colour}"/>')
            out.append(text(round(LEFT + wide + 6, 1), y + BAR - 3, row[column]))
            y += BAR + 2
        y += GAP
    key = "".join(f'<rect x="{LEFT + i * 170}" y="26" width="10" height="10" fill="{colour}"/>' + text(LEFT + 15 + i * 170, 36, name)
                  for i, (name, colour) in enumerate(columns.items()))
    wide = LEFT + SCALE + RIGHT
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" font-family="sans-serif" font-size="{FONT}" role="img">\n'
            f'<title>{escape(f"{heading}: {unit}")}</title>\n<rect width="{wide}" height="{y}" fill="#ffffff"/>\n<g fill="#222222">\n'
            + text(LEFT, 16, unit) + "\n" + key + "\n" + "\n".join(out) + "\n</g>\n</svg>\n")


def main():
    (DOCS / "plots").mkdir(exist_ok=True)
    for name, plot in PLOTS.items():
        (DOCS / "plots" / name).write_text(draw(*plot))


if __name__ == "__main__":
    main()
