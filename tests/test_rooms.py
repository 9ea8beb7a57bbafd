"""The rooms of experiments/: their sizes, which way imports go, and that only what is used is
imported."""
import ast
import io
import multiprocessing
import os
import re
import sys
from contextlib import redirect_stdout
from importlib import import_module

import pytest
from conftest import ROOT

EXPERIMENTS = ROOT / "experiments"
COMMANDS = {path.stem for path in EXPERIMENTS.glob("*.py")}
# A file imports, at its top, its own room and those of a smaller number.
FLOORS = {"data": 0, "dial": 0, "reading": 1, "models": 1, "methods": 2, "domains": 3,
          "harness": 4, "paper": 5, "public": 5, "speed": 5, "rlhf": 6} | dict.fromkeys(COMMANDS, 7)
ROOMS = [name for name in FLOORS if (EXPERIMENTS / name).is_dir()]
FILES = [*EXPERIMENTS.glob("*.py"), *EXPERIMENTS.glob("*/*.py"), *(ROOT / "toy").glob("*.py")]


def imports(path, lazy=True):
    """The modules that a file imports, with their rooms; without `lazy` those at its top alone."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    inside = {node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
              for node in ast.walk(function)}
    for node in ast.walk(tree):
        if lazy or node not in inside:
            if isinstance(node, ast.ImportFrom):
                assert not node.level, path  # nothing relative
                found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
            elif isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
    return found


def test_every_folder_is_a_room_that_is_known():
    folders = {path.parent.name for path in EXPERIMENTS.glob("*/*.py")}
    assert folders == set(ROOMS) and len(ROOMS) == 9


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_small_and_says_what_it_is_for(room):
    path = EXPERIMENTS / room / "__init__.py"
    assert len(list(path.parent.glob("*.py"))) <= 1 + 10
    (first,) = re.findall(r"Open (\w+\.py) first", ast.get_docstring(ast.parse(path.read_text())))
    assert (path.parent / first).exists()
    assert imports(path) == ({"sys", "pathlib", "pathlib.Path"} if room == "harness" else set())


def test_files_are_short():
    assert not [path for path in FILES if path.read_text(encoding="utf-8").count("\n") > 160]


def test_imports_go_one_way():
    for path in FILES:
        if path.parent.name == "toy":
            continue
        room = path.stem if path.parent == EXPERIMENTS else path.parent.name
        for module in imports(path, lazy=False):
            other = module.partition(".")[0]
            assert other == room or FLOORS.get(other, -1) < FLOORS[room], f"{path}: {module}"


def test_no_command_is_imported():
    """Nor by a function, nor by a toy."""
    for path in FILES:
        names = {module.partition(".")[0] for module in imports(path)}
        assert not names & (COMMANDS - {path.stem}), path


def test_toys_take_tables_figures_and_the_command_line():
    for path in (ROOT / "toy").glob("*.py"):
        own = {m for m in imports(path) if m.partition(".")[0] in FLOORS}
        allowed = r"(data|dial|harness\.(tables|figures|command))\b"
        if path.name == "lesson.py":  # its last cell trains a language model
            allowed = r"(data|dial|models\.backbones)\b"
        assert all(re.match(allowed, module) for module in own), path


def test_one_place_ends_the_process_and_two_set_the_path():
    def of(word):
        return {path.relative_to(ROOT).as_posix() for path in FILES
                if word in path.read_text(encoding="utf-8")}

    assert of("sys.exit(") == {"experiments/harness/command.py"}
    assert of("sys.path") == {"experiments/harness/__init__.py", "toy/mlp.py"}


def dry_run(folder, sender):
    """In a fork of this process: forget what other tests have imported of the project, and of
    libraries that it takes late, import a command and run it. Sends the modules that there are,
    and the lines that it prints."""
    for name in list(sys.modules):
        if name.partition(".")[0] in {*FLOORS, "matplotlib", "trl"} or "scipy.stats" in name:
            del sys.modules[name]
    vars(sys.modules.get("scipy", sys)).pop("stats", None)
    os.chdir(folder)
    with redirect_stdout(io.StringIO()) as said:
        import_module("cross_lingual").main(["--model", "tiny", "--dry-run", "--n-train", "9"])
    sender.send((set(sys.modules), said.getvalue().splitlines()))


def test_what_is_not_used_is_not_imported(cache, tmp_path):
    """Nor by a dry run. (A process of its own would import PyTorch again, which takes seconds.)"""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=dry_run, args=(tmp_path, sender))
    process.start()
    sender.close()  # the fork's stays open until its end
    modules, said = receiver.recv()
    process.join()
    assert len(said) == 7 and not list(tmp_path.iterdir())
    assert {"harness.dry_run", "harness.report", "methods.table", "models.backbones"} <= modules
    unused = {"paper", "rlhf", "public", "speed", "methods.baselines", "methods.untrained",
              "matplotlib", "scipy.stats", "trl", "harness.figures", "domains.own",
              "domains.records", "domains.arguments", "models.saving", "models.generation",
              "models.made", "models.language", "reading"}
    assert modules & unused == set()
