"""docker/RUNBOOK.md is right: every command in it is run as it stands there, in the situation that it is for."""
import contextlib
import re

import pytest
from runbook_page import PAGE, blocks, fences, names, scenes
from runbook_rights import missing
from runbook_scenes import SCENES, VARIANTS, Scene
from server import SERVERS

BLOCKS = blocks()
ALWAYS = "".join(b.text for b in BLOCKS if b.what == "always")


def test_every_block_of_commands_says_in_which_scene_it_is_run_and_none_slips_in():
    unmarked = [f"line {b.line}: {b.what or 'no comment above it'}" for b in BLOCKS if b.what not in ("run", "values", "always")]
    assert unmarked == [] and len(BLOCKS) == fences() and [b.what for b in BLOCKS].count("values") == 1
    assert set(scenes()) == set(SCENES)
    promises = [(b.line, t) for b in BLOCKS for t in b.then if not hasattr(SCENES[b.scene], t)]
    assert promises == []


def test_every_block_shows_what_it_does_by_its_output_its_exit_code_or_what_is_true_afterwards():
    assert [b.line for b in BLOCKS if b.what == "run" and not (b.exit or b.prints or b.then)] == []


def test_each_variable_of_the_page_has_a_value_at_its_top_and_is_used():
    used = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", "".join(b.text for b in BLOCKS)))
    own = {"ARGS", "TIER", "CPU_ARCH", "STATUS_LISTEN", "HOME", "EFS_ROOT"}  # read by the programs, or the system's
    assert used - names() - own == set() and names() - used - own == set()


def test_the_links_of_the_page_lead_somewhere():
    text = PAGE.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        page = (PAGE.parent / path).resolve() if path else PAGE
        assert page.exists(), target
        headings = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}
        assert not anchor or anchor in headings, target


def follow(scene, *names):
    """The blocks of these scenes, in the page's order, each as it stands there."""
    for block in (b for name in names for b in BLOCKS if b.scene == name):
        code, said = scene.run(ALWAYS, block)
        print(f"--- line {block.line}\n{block.text}>>>\n{said}")  # pytest -s shows a page that was followed
        assert code == block.exit, f"RUNBOOK.md, line {block.line}: exit code {code}\n{said}"
        for pattern in block.prints:
            assert re.search(pattern, said), f"RUNBOOK.md, line {block.line}: no {pattern!r} in\n{said}"
        for promise in block.then:
            getattr(scene, promise)()


@contextlib.contextmanager
def begun(scene):
    try:
        scene.begin()
        scene.aws.calls.clear()
        yield scene
        # What the tests themselves and the programs in a task call is not among them: those sign with other keys.
        assert missing(scene.aws.calls) == set()
    finally:
        scene.close()


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name, situation", [(n, s) for n in scenes() for s in VARIANTS.get(n, [SCENES[n]])],
                         ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_the_commands_of_the_page_do_what_it_says(name, situation, kind, tmp_path, moto):
    scene: Scene = situation(kind, tmp_path, moto)
    if scene.real_only and kind == "standin":
        pytest.skip("needs the real Qdrant server: the stand-in is no cluster")
    with begun(scene):
        follow(scene, name)
