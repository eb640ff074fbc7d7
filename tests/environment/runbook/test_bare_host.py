"""docker/RUNBOOK.md followed on a host that has what the page says, and no more; and a game day whose every node is a container."""
import image as images
import pytest
from harness import takes_minutes
from runbook_host import Bare, ByNode, GameDay, WithShell
from runbook_page import scenes
from runbook_scenes import SCENES, VARIANTS
from server import REAL
from test_runbook import BLOCKS, begun, follow

KIND = "real" if REAL else "standin"
pytestmark = [takes_minutes, images.needs_docker]


@pytest.fixture(scope="module", autouse=True)
def no_container_is_left():
    yield
    images.remove_containers()


def hands(name, situation):
    """What the page gives for that scene: the host, and the node's shell where a block says so."""
    if not any(b.scene == name and b.at == "container" for b in BLOCKS):
        return Bare
    return ByNode if situation.real_only else WithShell


@pytest.mark.parametrize("name, situation", [(n, s) for n in scenes() for s in VARIANTS.get(n, [SCENES[n]])],
                         ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_bare_host_and_a_shell_in_the_container_are_enough_for(name, situation, tmp_path, moto):
    if situation.real_only and KIND == "standin":
        pytest.skip("needs the real Qdrant server: the stand-in is no cluster")
    bare = type("On a bare host", (hands(name, situation), situation), {})
    with begun(bare(KIND, tmp_path, moto)) as scene:
        follow(scene, name)


def test_on_a_game_day_in_containers_the_page_alone_starts_the_second_region_and_brings_all_back(tmp_path, moto):
    with begun(GameDay(KIND, tmp_path, moto)) as day:
        follow(day, "lost-region")
        day.go_on()
        away = len(day.took)
        follow(day, "way-back")
        for what, took in (("over", day.took[:away]), ("back", day.took[away:])):
            steps = ", ".join(f"line {line}: {seconds:.1f}" for line, seconds in took)
            print(f"game day: {what} in {sum(s for _, s in took):.0f} s of commands ({steps})")
