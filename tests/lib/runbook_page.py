"""docker/RUNBOOK.md as the commands that are in it.

Above each ```sh block stands a comment that no reader sees:

    <!-- run: scene=lost-points exit=1 prints="points: 5" then=points_are_back -->

The blocks of one scene run in order, each in a shell of its own, on the host of the page's first section, which can only read EFS. One
that writes there says `with=repair`, for RepairPolicyArn; one that needs the node's own Qdrant says `at=container`. `exit` is the code
expected (0), `prints` a regular expression that the output must match (several: each), `then` a function of the scene that asserts what
is true afterwards. The block marked `<!-- values -->` is not run: it names the variables, and each scene gives them values of its own.
The one marked `<!-- always -->` goes before every block.
"""
import dataclasses
import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docker/RUNBOOK.md"
FENCE = re.compile(r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclasses.dataclass
class Block:
    text: str
    line: int
    what: str  # run, values, always; empty: nobody says
    scene: str = ""
    exit: int = 0
    at: str = "host"  # or container: the node's
    repairs: bool = False  # needs RepairPolicyArn, since it writes to EFS
    prints: tuple = ()
    then: tuple = ()


def _block(m, page):
    line, mark = page[:m.start("text")].count("\n") + 1, m["mark"] or ""
    what, _, rest = mark.partition(":")
    block = Block(m["text"], line, what.strip())
    if block.what == "run":
        words = re.findall(r'(\w+)=("[^"]*"|\S+)', rest)
        given = {name: value.strip('"') for name, value in words}
        assert set(given) <= {"scene", "exit", "prints", "then", "at", "with"} and given.get("scene"), f"line {line}: {mark}"
        block.scene, block.exit = given["scene"], int(given.get("exit", 0))
        block.at, block.repairs = given.get("at", "host"), given.get("with") == "repair"
        block.prints = tuple(v.strip('"') for n, v in words if n == "prints")
        block.then = tuple(v.strip('"') for n, v in words if n == "then")
    return block


def blocks(path=PAGE):
    page = path.read_text()
    return [_block(m, page) for m in FENCE.finditer(page) if m["language"] == "sh"]


def fences(path=PAGE):
    """How many blocks of code there are, however they are marked up: with a language or without, indented, or by indentation."""
    page = path.read_text()
    lines = re.findall(r"^ *(?:```|~~~)", page, re.M)
    return len(lines) // 2 + len(re.findall(r"\n\n(?: {4}|\t)\S", FENCE.sub("", page)))


def scenes(path=PAGE):
    """Their names, in the page's order."""
    return list(dict.fromkeys(b.scene for b in blocks(path) if b.what == "run"))


def names(path=PAGE):
    """The variables of the block of values."""
    return set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", next(b.text for b in blocks(path) if b.what == "values")))
