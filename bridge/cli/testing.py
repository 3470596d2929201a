"""Testing rules: `test`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.shell import cli, exit_with, json_option, load_rules, print_json, rules_option
from bridge.errors import StoreError

if TYPE_CHECKING:
    from bridge.rehearsal import Breakage, Played, Result, Script
    from bridge.rules import Rules

SAID_NO = 1


@cli.command()
@rules_option
@json_option
@click.option(
    "--tests",
    "tests_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of tests; rules_test.yaml beside rules.yaml, if it is left out.",
)
@click.option("--run", "only", default="", help="Only tests whose name contains this text.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Also write the results as JUnit XML.")
@click.option("--mutate", is_flag=True, help="Break the rules one change at a time; list what no test notices.")
def test(
    rules_path: Path, as_json: bool, *, tests_path: Path | None, only: str, junit: Path | None, mutate: bool
) -> None:
    """Run the unit tests of the rules, in simulated time and without network.

    A rule or an entry of ignore that no test reaches is a failure. The rules are played live and with surveys, whatever
    the settings say; limits are not played, for they count other tickets.

    \b
    Example:
        recovery-bridge test
        recovery-bridge test --run "third time" --junit results.xml
        recovery-bridge test --mutate
    """
    from bridge.rehearsal import play, read_script, tests_beside
    from bridge.rules import read

    rules = load_rules(rules_path)
    path = tests_path or tests_beside(rules_path)
    script = read_script(read(path), rules, str(path))
    played = play(script, rules, only)
    if junit:
        _write(junit, _junit(played, script.path))
    survivors = _unnoticed(script, rules, only) if mutate and played.passed else []
    if as_json:
        print_json(_as_json(played, survivors))
    else:
        _show(played, script.path)
    if mutate and not played.passed:
        click.echo("the rules are not broken on purpose before their tests pass", err=True)
    exit_with(0 if played.passed and played.results and not survivors else SAID_NO)


# ------------------------------------------------------------------ what is printed
def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written ({exc.strerror})") from exc


def _show(played: Played, path: str) -> None:
    from bridge import show

    for result in played.results:
        if not result.passed:
            click.echo(f"FAIL {path}:{result.line}: {result.name}")
            click.echo("".join(f"  {failure}\n" for failure in result.failures), nl=False)
            click.echo("  what each rule saw; the first match wins:")
            click.echo("\n".join(show.trace_lines(result.trace)) + "\n")
    for name in played.unreached:
        click.echo(f'no test reaches "{name}"')
    failed = sum(not result.passed for result in played.results)
    parts = [f"{len(played.results) - failed} passed", f"{failed} failed" if failed else ""]
    parts.append(f"{show.count(len(played.unreached), 'rule')} not reached" if played.unreached else "")
    if not played.results:
        parts = ["no test has such a name"]
    click.echo(f"{path}: {', '.join(filter(None, parts))}")


def _unnoticed(script: Script, rules: Rules, only: str) -> list[Breakage]:
    """Return the breakages that no test notices, and say how many there were."""
    from bridge.rehearsal import breakages, is_noticed

    made, survivors = 0, []
    for breakage in breakages(rules):
        made += 1
        if not is_noticed(script, breakage.rules, only):
            survivors.append(breakage)
            click.echo(f"{rules.path}:{breakage.line}: no test notices: {breakage.what}", err=True)
    click.echo(f"{made} breakages, {made - len(survivors)} noticed", err=True)
    return survivors


def _as_json(played: Played, survivors: Iterable[Breakage]) -> dict[str, Any]:
    return {
        "passed": played.passed,
        "tests": [_test_json(result) for result in played.results],
        "unreached": list(played.unreached),
        "unnoticed": [{"line": breakage.line, "what": breakage.what} for breakage in survivors],
    }


def _test_json(result: Result) -> dict[str, Any]:
    return {"name": result.name, "line": result.line, "passed": result.passed, "failures": list(result.failures)}


def _junit(played: Played, path: str) -> str:
    """Return the results as the XML that CI servers read."""
    from xml.etree import ElementTree

    failed = sum(not result.passed for result in played.results) + len(played.unreached)
    total = len(played.results) + len(played.unreached)
    suite = ElementTree.Element("testsuite", name=path, tests=str(total), failures=str(failed))
    outcomes = [(result.name, "\n".join(result.failures)) for result in played.results]
    outcomes += [(f"a test reaches {name}", "no test does") for name in played.unreached]
    for name, failure in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname=path, name=name)
        if failure:
            ElementTree.SubElement(case, "failure", message=failure.partition("\n")[0]).text = failure
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
