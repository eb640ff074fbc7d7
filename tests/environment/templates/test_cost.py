"""docker/COST.md is what the prices, the schedule and the retention make of it."""
import re

from cost import BACKUP_DAYS, PRICE, kept, metrics, month, table
from templates import DOCKER, PRIMARY, SECOND, Template

PAGE = (DOCKER / "COST.md").read_text()


def test_the_table_of_the_page_is_the_arithmetic_of_the_defaults():
    assert table() in PAGE, "\n" + table()


def test_every_price_and_number_that_it_rests_on_is_on_the_page():
    for price in PRICE.values():
        assert f"${price:.2f}" in PAGE, price
    assert f"{kept():.0f} snapshots" in PAGE and f"{BACKUP_DAYS} days" in PAGE and f"{metrics()} metrics" in PAGE


def test_aws_backup_is_the_largest_part_that_a_parameter_takes_away():
    whole = month(10)
    assert sorted(whole, key=whole.get)[-2] in ("AWS Backup", "writes") and "AwsBackup" in Template(PRIMARY)["Parameters"]


def test_the_page_names_parameters_that_exist():
    named = set(re.findall(r"`([A-Z][A-Za-z0-9]+)(?:=[^`]*)?`", PAGE))
    known = set(Template(PRIMARY)["Parameters"]) | set(Template(SECOND)["Parameters"])
    assert named - {"DISABLED"} - known == set() and "AwsBackup" in named
