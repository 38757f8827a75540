#!/usr/bin/env python3
"""What examples/capsule/manual tells to type and to paste is right: `egalaxyd --check` takes each block of
TOML, each command of ours and each option exists, each key in a table of keys is in egalaxyd.toml(5), a
server heeds the files beside pages, and each page is linked. The programs are those of $EGALAXYD_BIN_DIR."""
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
from capsule import Capsule, program  # noqa: E402

MANUAL = SOURCE / "examples/capsule/manual"
# What the packages bring to read first is tried likewise.
PAGES = sorted([*MANUAL.glob("*.gmi"), SOURCE / "examples/welcome/capsule/index.gmi",
                SOURCE / "systemd/package_readme.md"])
KINDS = {"toml", "sh", "keys", "meta", "molly", ""}
PLACE = re.compile(r"# /etc/egalaxyd/(\S+)\n")  # what an included file begins with
# What a machine of tests has not.
NOT_HERE = ("server.user", "dynamic.account", "/run/app.sock", "the server starts without it")
WIDTH = 80  # of preformatted lines: a terminal's

KEY_AND_VALUE = re.compile(r"""\b([a-z_]+) = (\{.*?\}|\[.*?\]|"[^"]*"|'[^']*'|\w+)""")
MODULES = ("directory", "cgi", "scgi", "fastcgi", "proxy", "homes", "redirect", "reply", "authenticated")


def places_of(row):
    """The tables that the keys of a row in a table of keys may belong to, as TOML."""
    section = re.search(r" in \[(\w+)\]", row)
    if section:
        return [f"[{section[1]}]"]
    module = re.search(r'module = "(\w+)"', row)
    mounts = [f'[sites.h."/x"]\nmodule = "{name}"' for name in ([module[1]] if module else MODULES)]
    return mounts if module else ["", "[sites.h]", "[[sites.h.redirects]]", *mounts]


def blocks(page):
    """(kind, line number, text) of each preformatted block."""
    found, kind, start, lines = [], None, 0, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            if kind is None:
                kind, start, lines = line[3:].strip(), number, []
            else:
                found.append((kind, start, "\n".join(lines) + "\n"))
                kind = None
        elif kind is not None:
            lines.append(line)
    assert kind is None, f"{page.name}: a block is not closed"
    return found


def all_blocks(wanted):
    for page in PAGES:
        for kind, line, text in blocks(page):
            if kind == wanted:
                yield f"{page.name}:{line}", text


def help_of(name):
    return subprocess.run([program(name), "--help"], check=True, capture_output=True, text=True).stdout


class Machine:
    """The folders and certificates that a configuration names, below a temporary folder."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="egalaxyd-manual-"))
        self.path.chmod(0o755)

    def take(self, text):
        """The same configuration with its paths led here, where what they name has been made."""
        text = re.sub(r'(= "|^\s+")/(srv|etc|var|home)/', rf"\1{self.path}/\2/", text, flags=re.M)
        folders = re.findall(r'root = "([^"]+)"', text)
        folders += [os.path.dirname(file) for file in re.findall(r'(?:target|log) = "(/[^"]+)"', text)]
        for folder in map(pathlib.Path, folders):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)  # whichever account the workers have
        for folder in re.findall(r'module = "cgi"\nroot = "([^"]+)"', text):
            os.chmod(folder, 0o755)  # what everybody may write to is not run
        for file in re.findall(r'^password = "(/[^"]+)"', text, re.M):
            pathlib.Path(file).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(file).write_text("secret\n")
            os.chmod(file, 0o600)
        names = set(re.findall(r'^\[sites\."([^"*]+)"', text, re.M))
        names |= set(re.findall(r'aliases = \["([^"]+)"\]', text))
        shutil.rmtree(self.path / "made", ignore_errors=True)
        (self.path / "made").mkdir()
        subprocess.run([program("egalaxyctl"), "certificate", "create", *sorted(names or {"example.org"}),
                        "--dir", self.path / "made"], check=True, capture_output=True)
        for key, file in re.findall(rf'\b(certificate|key|ca) = "({self.path}/[^"]+)"', text):
            self.write(pathlib.Path(file), "*.key" if key == "key" else "*.crt")
        return text

    def write(self, file, pattern):
        file.parent.mkdir(parents=True, exist_ok=True)
        made = next((self.path / "made").glob(pattern))
        if file.suffix == ".der":
            what = ["pkcs8", "-topk8", "-nocrypt"] if pattern == "*.key" else ["x509"]
            subprocess.run(["openssl", *what, "-in", made, "-outform", "DER", "-out", file], check=True)
        else:
            shutil.copy(made, file)

    def include(self, text):
        """The file that `text` names in its first line, there."""
        place = self.path / PLACE.match(text)[1]
        place.parent.mkdir(exist_ok=True)
        place.write_text(self.take(text))
        for file, pattern in re.findall(r'= "(\w[^"]*\.(crt|key))"', text):
            self.write(place.parent / file, f"*.{pattern}")

    def check(self, text):
        (self.path / "egalaxyd.toml").write_text(text)
        return subprocess.run([program("egalaxyd"), "--check", "--config", self.path / "egalaxyd.toml"],
                              capture_output=True, text=True,
                              env={"STATE_DIRECTORY": str(self.path / "state"), "PATH": "/usr/bin:/bin",
                                   "RUNTIME_DIRECTORY": str(self.path / "run")})


def commands(text):
    """Those of ours in a text that is typed, each as its words."""
    text = re.sub(r"\\\n", " ", text)
    for line in text.splitlines():
        for part in re.split(r"&&|\|\||[;|>]", line):
            words = re.sub(r"^\s*(\w+=\S*\s+)*", "", part).split()
            if words and words[0] in ("egalaxyd", "egalaxyctl"):
                yield words


class Typed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        told = help_of("egalaxyctl")
        cls.rows = [re.match(r"(?:[a-z]+ ?)+", line.strip()).group().split()
                    for line in told.split("\n-h, --help")[0].splitlines()[1:] if re.match("  [a-z]", line)]
        cls.options = {"egalaxyctl": set(re.findall(r"--[a-z-]+", told)),
                       "egalaxyd": set(re.findall(r"--[a-z-]+", help_of("egalaxyd")))}

    def exists(self, words):
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        self.assertLessEqual(options, self.options[words[0]], words)
        if words[0] == "egalaxyctl":
            rest = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
            second = [row for row in self.rows if len(row) > 1 and row[0] == rest[0]]
            known = second if second and len(rest) > 1 else self.rows
            self.assertTrue(any(rest[:len(row)] == row for row in known), words)

    def test_each_command_exists(self):
        seen = 0
        for where, text in all_blocks("sh"):
            for words in commands(text):
                with self.subTest(where=where):
                    self.exists(words)
                    seen += 1
        self.assertGreater(seen, 30)

    def test_each_command_within_a_sentence_exists(self):
        for page in PAGES:
            for quoted in re.findall(r'"(egalaxyctl [^"]+|egalaxyd --[^"]+)"', page.read_text()):
                for words in commands(quoted):
                    with self.subTest(page=page.name):
                        self.exists(words)

    def test_what_is_not_there_would_be_noticed(self):
        for words in ("egalaxyctl certificate", "egalaxyctl users rename", "egalaxyctl sing",
                      "egalaxyctl get --sing URL", "egalaxyd --sing"):
            with self.assertRaises(AssertionError, msg=words):
                self.exists(words.split())


class Pasted(unittest.TestCase):
    def setUp(self):
        self.machine = Machine()
        self.addCleanup(shutil.rmtree, self.machine.path)

    def test_each_configuration_is_taken_without_a_word(self):
        seen = 0
        for where, text in all_blocks("toml"):
            if PLACE.match(text):
                continue  # tried with the one that includes it
            with self.subTest(where=where):
                self.assert_taken(self.machine.take(text))
                seen += 1
        self.assertGreater(seen, 25)

    def assert_taken(self, text):
        """Gives the output."""
        done = self.machine.check(text)
        said = [line for line in (done.stdout + done.stderr).splitlines()
                if not line.endswith(("configuration OK", "included, OK"))
                and not any(word in line for word in NOT_HERE)]
        self.assertEqual((done.returncode, said), (0, []))
        return done.stdout

    def test_files_that_belong_together_are_taken_together(self):
        seen = 0
        for page in PAGES:
            texts = [text for kind, _, text in blocks(page) if kind == "toml"]
            parts = [text for text in texts if PLACE.match(text)]
            if not parts:
                continue
            with self.subTest(page=page.name):
                for part in parts:
                    self.machine.include(part)
                first, = (text for text in texts if text.startswith("include = "))
                self.assertEqual(self.assert_taken(self.machine.take(first)).count("included, OK"), len(parts))
                seen += 1
        self.assertGreater(seen, 0)

    def test_files_beside_pages_are_heeded(self):
        meta, molly = ([text for _, text in all_blocks(kind)] for kind in ("meta", "molly"))
        server = Capsule("".join(f'''
[sites.localhost."/{name}"]
module = "directory"
root = "{name}"
sidecar = ".{name}"
''' for name in ("meta", "molly")))
        self.addCleanup(server.close)
        for name, text in (("meta", *meta), ("molly", *molly)):
            server.folder.make(name)
            (server.folder.path / name / f".{name}").write_text(text)
            for file in ("index.gmi", "a.de.gmi", "LICENSE", "other.gmni", "atom.xml"):
                (server.folder.path / name / file).write_text("# A page\n")
        server.start()
        for path, header in (("/meta/", "20 text/gemini; lang=en-GB"),
                             ("/meta/a.de.gmi", "20 text/gemini; lang=de"),
                             ("/meta/LICENSE", "20 text/plain; charset=UTF-8"),
                             ("/meta/gone.gmi", "52 This file is no longer here, sorry."),
                             ("/molly/", "20 text/gemini; charset=utf-8; lang=de"),
                             ("/molly/other.gmni", "20 text/gemini; charset=utf-8; lang=de"),
                             ("/molly/atom.xml", "20 application/atom+xml")):
            with self.subTest(path=path):
                answer = server.get(path)
                self.assertEqual(f"{answer.status} {answer.meta}", header)
        self.assertNotIn("is skipped", server.log())

    def test_a_wrong_configuration_would_be_noticed(self):
        done = self.machine.check('[sites."example.org"]\nrot = "/srv"\n')
        self.assertNotEqual(done.returncode, 0)

    def test_each_key_in_a_table_of_keys_is_in_the_manual_page(self):
        page = (SOURCE / "common/egalaxyd.toml.5").read_text()
        seen = 0
        for where, text in all_blocks("keys"):
            for line in text.splitlines()[1:]:
                right = re.split(r"\s{2,}", line, maxsplit=1)[1]
                for key in re.findall(r"\b([a-z_]+) = ", right):
                    with self.subTest(where=where, key=key):
                        self.assertIn(f"\n.It Ic {key} ", page)
                        seen += 1
        self.assertGreater(seen, 30)

    def test_each_key_in_a_table_of_keys_is_known_where_it_stands(self):
        seen = 0
        for where, text in all_blocks("keys"):
            for line in text.splitlines()[1:]:
                right = re.split(r"\s{2,}", line, maxsplit=1)[1]
                for key, value in KEY_AND_VALUE.findall(right):
                    if key == "module":
                        continue
                    with self.subTest(where=where, line=right, key=key):
                        self.assertTrue(self.is_known(key, value, places_of(right)))
                        seen += 1
        self.assertGreater(seen, 50)
        self.assertFalse(self.is_known("no_such_key", "1", places_of("")))

    def is_known(self, key, value, places):
        return any("unknown key" not in self.machine.check(f"{place}\n{key} = {value}\n").stderr
                   for place in places)


class Read(unittest.TestCase):
    def test_blocks_are_of_a_known_kind_and_fit_a_terminal(self):
        for page in PAGES:
            for kind, line, text in blocks(page):
                with self.subTest(page=page.name, line=line):
                    self.assertIn(kind, KINDS)
                    self.assertLessEqual(max(map(len, text.splitlines()), default=0), WIDTH)

    def test_the_first_page_leads_to_each_and_each_leads_back(self):
        linked = set(re.findall(r"^=> (\S+\.gmi)", (MANUAL / "index.gmi").read_text(), re.M))
        pages = {page.name for page in MANUAL.glob("*.gmi")} - {"index.gmi"}
        self.assertEqual(linked, pages)
        for name in pages:
            self.assertRegex((MANUAL / name).read_text(), r"(?m)^=> \./ ", name)

    def test_links_lead_only_to_pages_of_the_manual_and_home(self):
        """The manual stands in more than one capsule."""
        for page in MANUAL.glob("*.gmi"):
            outside = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
            for target in re.findall(r"^=>\s*(\S+)", outside, re.M):
                with self.subTest(page=page.name, target=target):
                    self.assertTrue(target in ("/", "./") or (MANUAL / target).is_file())


if __name__ == "__main__":
    unittest.main()
