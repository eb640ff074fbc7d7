"""docker/RUNBOOK.md followed on a host that has what the page says, and no more; and a game day whose every node is a container."""
import image as images
import pytest
from harness import takes_minutes
from runbook_host import Bare, GameDay
from runbook_scenes import SCENES
from server import REAL
from test_runbook import begun, follow

KIND = "real" if REAL else "standin"
pytestmark = [takes_minutes, images.needs_docker]


@pytest.fixture(scope="module", autouse=True)
def no_container_is_left():
    yield
    images.remove_containers()


@pytest.mark.parametrize("name", ["glance", "lost-points", "empty-node", "lost-region", "only-s3"])
def test_a_bare_host_with_backups_that_it_can_only_read_is_enough_for(name, tmp_path, moto):
    bare = type("On a bare host", (Bare, SCENES[name]), {})
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
