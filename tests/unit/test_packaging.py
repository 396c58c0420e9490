"""What a packager, an operator and a reader rely on: setup.cfg, README, docs and conf files say what the tree is."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

import replicad
from replicad.directives import DIRECTIVES, find

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md"))]
CONF_FILES = sorted((PROJECT / "etc").glob("*.conf"))

#: What no file may hold: a path of the machine that somebody worked on.
FORBIDDEN = re.compile(r"(?<![\w.])/(?:home|Users)/[a-z]")


def configuration() -> configparser.ConfigParser:
    """setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(PROJECT / "setup.cfg")
    return parser


def words(text: str) -> list[str]:
    """The lines of a value in setup.cfg."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def tracked_files() -> list[Path]:
    """The files of the project: what git knows, or what a source distribution brought along."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False, timeout=30)
    if listed.returncode == 0 and listed.stdout:
        names = [PROJECT / name for name in listed.stdout.decode().split("\0") if name]
        return [path for path in names if path.is_file()]
    folders = ("replicad", "twisted", "tests", "docs", "etc", "benchmarks")
    found = [path for folder in folders for path in (PROJECT / folder).rglob("*") if path.is_file()]
    return [*PAGES, *(path for path in found if "__pycache__" not in path.parts)]


def command_blocks(page: Path) -> Iterator[str]:
    """The command lines in the fenced blocks of a page that have no language."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if not language:
            yield from block.splitlines()


def generator() -> ModuleType:
    """docs/compatibility.py."""
    spec = importlib.util.spec_from_file_location("compatibility", PROJECT / "docs" / "compatibility.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Packages(SynchronousTestCase):
    def test_every_package_is_listed(self) -> None:
        """setup.cfg lists the packages by name; a forgotten one would be missing from the wheel."""
        listed = words(configuration()["options"]["packages"])
        found = [".".join(path.parent.relative_to(PROJECT).parts) for path in PROJECT.glob("replicad/**/__init__.py")]
        self.assertEqual(sorted(listed), sorted([*found, "twisted.plugins"]))

    def test_every_folder_is_a_package(self) -> None:
        """A folder with modules and without __init__.py would be left out silently."""
        for path in (PROJECT / "replicad").rglob("*.py"):
            self.assertTrue((path.parent / "__init__.py").exists(), path)

    def test_no_package_in_the_way_of_twisted(self) -> None:
        """An __init__.py there would hide the real Twisted; the plugin file is all there is."""
        self.assertEqual(list((PROJECT / "twisted").rglob("__init__.py")), [])
        sources = [path.relative_to(PROJECT).as_posix() for path in (PROJECT / "twisted").rglob("*.py")]
        self.assertEqual(sources, ["twisted/plugins/replicad_plugin.py"])

    def test_typed(self) -> None:
        self.assertTrue((PROJECT / "replicad" / "py.typed").exists())
        self.assertIn("py.typed", configuration()["options.package_data"]["replicad"])

    def test_lua_files_are_in_the_wheel(self) -> None:
        self.assertIn("lua/*.lua", configuration()["options.package_data"]["replicad.scripting"])
        self.assertTrue(list((PROJECT / "replicad" / "scripting" / "lua").glob("*.lua")))

    def test_version(self) -> None:
        """There is one place for it, it is a release number, and what is installed was built from it."""
        self.assertEqual(configuration()["metadata"]["version"], "attr: replicad.__version__")
        self.assertRegex(replicad.__version__, r"^\d+\.\d+\.\d+$")
        installed = {entry.version for entry in metadata.distributions(name="replicad")}
        self.assertLessEqual(installed, {replicad.__version__})
        self.assertRegex((PROJECT / "CHANGES.md").read_text(), rf"(?m)^## (Unreleased|{re.escape(replicad.__version__)})")

    def test_python_versions(self) -> None:
        """python_requires, the classifiers and the tools speak of the same oldest version."""
        settings = configuration()
        oldest = settings["options"]["python_requires"].removeprefix(">=")
        classifiers = re.findall(r"Python :: (3\.\d+)", settings["metadata"]["classifiers"])
        self.assertEqual(classifiers[0], oldest)
        self.assertEqual(settings["mypy"]["python_version"], oldest)
        tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())
        self.assertEqual(tools["tool"]["ruff"]["target-version"], "py" + oldest.replace(".", ""))
        self.assertIn(f"Python {oldest} or newer", (PROJECT / "README.md").read_text())

    def test_dependencies_are_declared(self) -> None:
        """Every third-party module that replicad imports is in install_requires, or in an extra if it is optional."""
        settings = configuration()
        required = [line for line in words(settings["options"]["install_requires"]) if not line.startswith("#")]
        names = {re.split(r"[\[ <>=;]", line)[0] for line in required}
        roots = set()
        for path in (PROJECT / "replicad").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    roots |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    roots.add((node.module or "").partition(".")[0])
        third_party = {"anycrc", "hiredis", "lmdb", "lupa", "OpenSSL", "sortedcontainers", "twisted", "zope"}
        self.assertEqual(third_party & roots, third_party)
        modules = {"pyopenssl": "OpenSSL"}
        self.assertEqual({modules.get(name, name.partition(".")[0]) for name in names}, third_party)
        self.assertIn("python-lzf", settings["options.extras_require"]["lzf"])


    def test_a_plain_install_is_enough(self) -> None:
        """What the server loads comes with the dependencies of the package, not with those of the tests."""
        loads = "import replicad.server, replicad.tap, sys; "
        shows = "print(*{name.partition('.')[0] for name in sys.modules})"
        loaded, bare = (
            set(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PROJECT).split())
            for code in (loads + shows, "import sys; " + shows)
        )
        settings = configuration()
        # the optional one is loaded where it is installed
        required = words(settings["options"]["install_requires"] + settings["options.extras_require"]["lzf"])
        pending = [Requirement(line) for line in required if not line.startswith("#")]
        known: set[tuple[str, str]] = set()
        while pending:
            requirement = pending.pop()
            for extra in {"", *requirement.extras}:
                if (requirement.name, extra) not in known:
                    known.add((requirement.name, extra))
                    try:
                        more = list(map(Requirement, metadata.requires(requirement.name) or ()))
                    except metadata.PackageNotFoundError:  # the optional one, or of another platform
                        more = []
                    pending += [one for one in more if one.marker is None or one.marker.evaluate({"extra": extra})]
        names = {"replicad", *(canonicalize_name(name) for name, _ in known)}
        distributions = metadata.packages_distributions()
        found = {module: distributions[module] for module in loaded - bare if module in distributions}
        self.assertIn("lupa", found)
        strange = {module for module, owners in found.items() if names.isdisjoint(map(canonicalize_name, owners))}
        self.assertEqual(strange, set())


class Readme(SynchronousTestCase):
    def test_two_commands(self) -> None:
        """One line sets up and runs a server, one sets up and passes the tests; both start from nothing."""
        lines = list(command_blocks(PROJECT / "README.md"))
        first = [line for line in lines if line.startswith("python3 -m venv .venv && ")]
        self.assertEqual(len(first), 2, first)
        server, tests = first
        self.assertRegex(server, r" pip install |/pip install ")
        self.assertRegex(server, r"\.venv/bin/twistd .*replicad$")
        self.assertIn("'.[test]'", tests)
        self.assertRegex(tests, r"\.venv/bin/python -m pytest$")

    def test_ci_runs_the_test_command(self) -> None:
        """.ci/run takes the command out of README.md; its pattern must find exactly that line."""
        script = (PROJECT / ".ci" / "run").read_text()
        pattern = re.search(r"sed -n 's/(.*?)/\\1/p' README\.md", script)
        assert pattern is not None
        wanted = re.compile(pattern[1].replace(r"\(", "(").replace(r"\)", ")"))
        found = [line for line in (PROJECT / "README.md").read_text().splitlines() if wanted.search(line)]
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].endswith("pytest"))

    def test_options_in_commands(self) -> None:
        """Every option behind ``replicad`` in the pages is a directive; every file and make target that is named exists."""
        targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
        for page in PAGES:
            for line in command_blocks(page):
                argv = shlex.split(line, comments=True) if "twistd" in line and "replicad" in line else []
                own = argv[len(argv) - argv[::-1].index("replicad") :] if "replicad" in argv else []
                for word in own:
                    if word.startswith("--") and word not in ("--help", "--version", "--config"):
                        self.assertIsNotNone(find(word[2:]), f"{page.name}: {line}")
                    if word.startswith("etc/"):
                        self.assertTrue((PROJECT / word).exists(), f"{page.name}: {line}")
            for target in re.findall(r"`make ([a-z -]+)`", page.read_text()):
                self.assertLessEqual(set(target.split()), targets, page.name)

    def test_make_help(self) -> None:
        """Every target says what it does."""
        text = (PROJECT / "Makefile").read_text()
        phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
        assert phony is not None
        self.assertEqual(sorted(phony[1].split()), sorted(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)))


class Pages(SynchronousTestCase):
    def test_links(self) -> None:
        """Relative links lead somewhere, their anchors too."""
        for page in PAGES:
            for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = unquote(link).partition("#")
                target = page.parent / path if path else page
                self.assertTrue(target.exists(), f"{page.name}: {link}")
                if anchor:
                    titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                    self.assertIn(anchor, anchors, f"{page.name}: {link}")

    def test_reachable_from_readme(self) -> None:
        """README links every page of docs/."""
        text = (PROJECT / "README.md").read_text()
        for page in (PROJECT / "docs").glob("*.md"):
            self.assertIn(f"(docs/{page.name})", text)

    def test_architecture_names_the_tree(self) -> None:
        """docs/architecture.md knows every module outside of commands/, and none that is not there."""
        text = (PROJECT / "docs" / "architecture.md").read_text()
        named = set(re.findall(r"`(?:[a-z]+/)?([a-z_]+\.py)`", text))
        paths = list((PROJECT / "replicad").rglob("*.py"))
        modules = {path.name for path in paths if path.parent.name != "commands" and path.name != "__init__.py"}
        self.assertEqual(modules - named, set(), "not in docs/architecture.md")
        self.assertEqual(named - {path.name for path in paths}, set(), "not in the tree")

    def test_examples_compile(self) -> None:
        """The Python blocks of the pages are Python."""
        count = 0
        for page in PAGES:
            for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
                compile(block, page.name, "exec")
                count += 1
        self.assertGreater(count, 0)

    def test_compatibility_is_up_to_date(self) -> None:
        """``make docs`` would change nothing."""
        module = generator()
        text = module.PAGE.read_text()
        self.assertEqual(module.page(text), text, "run 'make docs'")

    def test_generator_notices_changes(self) -> None:
        """A page with another list is not up to date."""
        module = generator()
        text = module.PAGE.read_text()
        self.assertNotEqual(text.replace("GETRANGE, ", ""), text)
        self.assertEqual(module.page(text.replace("GETRANGE, ", "")), module.page(text))
        self.assertRaises(ValueError, module.page, "# Compatibility\n")

    def test_no_paths_of_one_machine(self) -> None:
        """The files speak of the project alone, not of the machine it was written on."""
        self.assertTrue(FORBIDDEN.search("see /" + "home/somebody/file"))
        for path in tracked_files():
            found = FORBIDDEN.search(path.read_bytes().decode("utf-8", "replace"))
            self.assertIsNone(found, f"{path.relative_to(PROJECT)}: {found and found[0]}")


class Configuration(SynchronousTestCase):
    def test_every_directive_is_explained(self) -> None:
        """In etc/*.conf a comment stands above each group of directives, also above those that are commented out."""
        for path in CONF_FILES:
            explained = False
            for number, line in enumerate(path.read_text().splitlines(), 1):
                name = line.removeprefix("# ").split()[:1]
                is_offer = line.startswith("# ") and bool(name) and find(name[0]) is not None and len(line.split()) <= 4
                if not line.strip() or line.startswith("# ---"):
                    explained = False
                elif line.startswith("#") and not is_offer:
                    explained = True
                else:
                    self.assertTrue(explained, f"{path.name}, line {number}: {line}")

    def test_shipped_directives_act(self) -> None:
        """What stands in etc/*.conf is not only accepted."""
        for path in CONF_FILES:
            for line in path.read_text().splitlines():
                if line.strip() and not line.startswith("#"):
                    directive = find(line.split()[0])
                    assert directive is not None, line
                    self.assertTrue(directive.acting, f"{path.name}: {line}")

    def test_acting_directives_are_read(self) -> None:
        """A directive that claims to act is named somewhere in the code beside the table of directives."""
        named: set[str] = set()
        patterns: list[str] = []
        for path in (PROJECT / "replicad").rglob("*.py"):
            if path.name == "directives.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
                    if any(part and "-" in part for part in parts):
                        patterns.append("".join(r"[a-z]+" if part is None else re.escape(part) for part in parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    named.add(node.value)
        dynamic = re.compile("|".join(patterns))
        idle = [
            row.name
            for row in DIRECTIVES.values()
            if row.acting and not named & {row.name, *row.aliases} and not dynamic.fullmatch(row.name)
        ]
        # there is one method so far, so nothing has to look at its name
        self.assertEqual(idle, ["snapshot-method"])
