#!/usr/bin/env python3
"""Pages, scripts and applications of a machine's users. The program is the one of $EGALAXYD_BIN_DIR."""
import contextlib
import json
import os
import pathlib
import pwd
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from application import Application, read_scgi  # noqa: E402
from capsule import Capsule, Folder, eventually, make_certificate  # noqa: E402
from script_case import ENV, PYTHON, shell  # noqa: E402

ALICE, BOB = "nobody", "daemon"  # accounts that are there everywhere
IS_ROOT = os.geteuid() == 0
ROOT = 'module = "homes"\nroot = "home/%user%/public_gemini"\nmin_uid = 1\n'
WHO = PYTHON + """
import json, os, sys
sys.stdout.write("20 application/json\\r\\n" + json.dumps([os.geteuid(), os.environ["HOME"]]))
"""


class Case(unittest.TestCase):
    """Started once for each class; "home" has the folders of all users, and "FOLDER" in SITES stands
    for where that is."""
    SITES = ""
    SETTINGS = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        for user in (ALICE, BOB, "root"):
            cls.write(user, "index.gmi", f"# {user}\n")
        sites = cls.SITES.replace("FOLDER", str(cls.folder.path))
        cls.server = Capsule(sites, cls.SETTINGS, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    @classmethod
    def write(cls, user, name, text, mode=0o644):
        """A file of that user; of our own where we are not root."""
        file = cls.folder.path / "home" / user / "public_gemini" / name
        for folder in reversed(file.parents):
            if not folder.exists():
                folder.mkdir(mode=0o755)
                cls.own(user, folder)
        file.write_text(text)
        file.chmod(mode)
        cls.own(user, file)
        return file

    @staticmethod
    def own(user, path):
        if IS_ROOT:
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def ask(self, path, **options):
        return self.server.get(path, **options)

    def told(self, path):
        answer = self.ask(path)
        self.assertEqual(answer.status, 20, answer)
        return json.loads(answer.body)

    def assert_statuses(self, status, *paths):
        for path in paths:
            answer = self.ask(path)
            self.assertEqual((answer.status, answer.body), (status, b""), path)


class Pages(Case):
    SITES = (f'[sites.localhost."/~"]\n{ROOT}listing = true\n'
             '[sites.localhost."/members"]\nmodule = "authenticated"\n'
             f'[sites.localhost."/members".sites."/~"]\n{ROOT}')

    def test_each_user_has_some(self):
        for user in (ALICE, BOB):
            self.assertEqual(self.ask(f"/~{user}/").body, f"# {user}\n".encode())
            self.assertEqual(self.ask(f"/%7e{user}/index.gmi").status, 20)
        answer = self.ask(f"/~{ALICE}")
        self.assertEqual((answer.status, answer.meta), (31, self.server.url(f"/~{ALICE}/", "gemini")))

    def test_folders_are_listed(self):
        self.write(ALICE, "notes/one.gmi", "# One\n")
        self.assertIn(b"one.gmi", self.ask(f"/~{ALICE}/notes/").body)

    def test_who_is_no_user_has_none(self):
        self.assert_statuses(51, "/~/", "/~", "/~../", "/~./", f"/~{ALICE}%2Fb/", "/~stranger/",
                             f"/~{ALICE}x/", f"/~{ALICE.upper()}/", f"/{ALICE}/", "/~%00/",
                             "/~" + 40 * "a" + "/", f"/~..%2F{ALICE}/")

    @unittest.skipUnless(IS_ROOT, "only root makes folders of the system's accounts")
    def test_accounts_of_the_system_have_none(self):
        self.assert_statuses(51, "/~root/", "/~root/index.gmi")

    def test_nothing_leads_out_of_a_home(self):
        file = self.write(ALICE, "x", "x")
        (file.parent / "link").symlink_to("/etc/hostname")
        self.assert_statuses(51, f"/~{ALICE}/link", f"/~{ALICE}/..%2Fx", f"/~{ALICE}/.profile")
        self.assertEqual(self.ask(f"/~{ALICE}/../~{BOB}/").body, f"# {BOB}\n".encode())

    def test_private_keys_are_not_served(self):
        certificate = make_certificate(self.folder.path, "mine")
        self.write(ALICE, "key.pem", pathlib.Path(certificate[1]).read_text())
        self.assert_statuses(51, f"/~{ALICE}/key.pem")

    def test_a_home_that_comes_and_goes_is_seen(self):
        user = "games"
        self.assert_statuses(51, f"/~{user}/")
        file = self.write(user, "index.gmi", "# New\n")
        self.assertTrue(eventually(lambda: self.ask(f"/~{user}/").status == 20))
        file.parent.rename(file.parent.with_name("old"))
        self.assertTrue(eventually(lambda: self.ask(f"/~{user}/").status == 51))

    def test_they_may_be_for_members(self):
        path = f"/members/~{ALICE}/"
        self.assertEqual(self.ask(path).status, 60)
        certificate = make_certificate(self.folder.path, "member")
        self.assertEqual(self.ask(path, certificate=certificate).body, f"# {ALICE}\n".encode())

    def test_scripts_are_pages_where_they_do_not_run(self):
        self.write(ALICE, "cgi-bin/it", "#!/bin/sh\n", 0o755)
        self.assertEqual(self.ask(f"/~{ALICE}/cgi-bin/it").body, b"#!/bin/sh\n")


@unittest.skipUnless(IS_ROOT, "only root has several accounts")
class ScriptsOfUsers(Case):
    SITES = f'[sites.localhost."/~"]\n{ROOT}cgi = "cgi-bin"\nusers = ["{ALICE}", "{BOB}"]\n'

    def test_they_run_as_their_user(self):
        for user in (ALICE, BOB):
            self.write(user, "cgi-bin/who", WHO, 0o755)
            entry = pwd.getpwnam(user)
            self.assertEqual(self.told(f"/~{user}/cgi-bin/who"), [entry.pw_uid, entry.pw_dir])

    def test_their_variables_name_the_user(self):
        file = self.write(ALICE, "cgi-bin/env", ENV, 0o755)
        variables = self.told(f"/~{ALICE}/cgi-bin/env/a%2Fb?q")["variables"]
        self.assertEqual((variables["SCRIPT_NAME"], variables["PATH_INFO"], variables["QUERY_STRING"],
                          variables["SCRIPT_FILENAME"], variables["DOCUMENT_ROOT"]),
                         (f"/~{ALICE}/cgi-bin/env", "/a/b", "q", str(file), str(file.parent)))

    def test_what_others_own_or_may_write_does_not_run(self):
        file = self.write(ALICE, "cgi-bin/foreign", WHO, 0o755)
        self.own(BOB, file)
        self.assert_statuses(42, f"/~{ALICE}/cgi-bin/foreign")
        for mode in (0o775, 0o757):
            self.write(ALICE, "cgi-bin/open", WHO, mode)
            self.assert_statuses(42, f"/~{ALICE}/cgi-bin/open")
        for why in ("others may write to it", "it belongs to another account"):
            text = f"refused: {why}"
            self.assertTrue(eventually(lambda text=text: text in self.server.log()), text)

    def test_nothing_else_runs(self):
        self.write(ALICE, "cgi-bin/env", ENV, 0o755)
        self.write(ALICE, "cgi-bin/page.gmi", "# Page\n")
        self.write(ALICE, "outside", WHO, 0o755)
        self.write("root", "cgi-bin/who", WHO, 0o755)
        self.assert_statuses(51, f"/~{ALICE}/cgi-bin/page.gmi", f"/~{ALICE}/cgi-bin/none",
                             f"/~{BOB}/cgi-bin/env", "/~root/cgi-bin/who",
                             f"/~{ALICE}/cgi-bin/..%2Foutside")
        self.assertEqual(self.ask(f"/~{ALICE}/outside").body.decode(), WHO)

    def test_pages_stay_pages(self):
        self.assertEqual(self.ask(f"/~{ALICE}/").body, f"# {ALICE}\n".encode())
        self.assertEqual(self.ask(f"/~{ALICE}/cgi-bin").meta,
                         self.server.url(f"/~{ALICE}/cgi-bin/", "gemini"))


class ScriptsOfTheServer(Case):
    SITES = f'[sites.localhost."/~"]\n{ROOT}cgi = "cgi-bin"\nas = "server"\n'
    SETTINGS = {"dynamic.account": f'"{BOB}"'} if IS_ROOT else {}

    def test_everybodys_run_as_one_account(self):
        uid = pwd.getpwnam(BOB).pw_uid if IS_ROOT else os.geteuid()
        for user in (ALICE, BOB):
            self.write(user, "cgi-bin/who", WHO, 0o755)
            self.assertEqual(self.told(f"/~{user}/cgi-bin/who")[0], uid)

    def test_their_variables_name_the_user(self):
        file = self.write(ALICE, "cgi-bin/deep/env", ENV, 0o755)
        told = self.told(f"/~{ALICE}/cgi-bin/deep/env/more")
        variables = told["variables"]
        self.assertEqual((variables["SCRIPT_NAME"], variables["PATH_INFO"], variables["SCRIPT_FILENAME"],
                          variables["DOCUMENT_ROOT"], told["folder"]),
                         (f"/~{ALICE}/cgi-bin/deep/env", "/more", str(file), str(file.parents[1]),
                          str(file.parent)))

    def test_a_folder_has_its_index(self):
        self.write(ALICE, "cgi-bin/index.cgi", shell("printf '20 text/plain\\r\\nindex'\n"), 0o755)
        self.assertEqual(self.ask(f"/~{ALICE}/cgi-bin/").body, b"index")

    def test_nothing_leads_out_of_the_users_folder(self):
        file = self.write(ALICE, "cgi-bin/env", ENV, 0o755)
        (file.parent / "out").symlink_to(self.write(BOB, "cgi-bin/his", WHO, 0o755))
        self.assert_statuses(51, f"/~{ALICE}/cgi-bin/out", "/~stranger/cgi-bin/env",
                             f"/~{ALICE}/cgi-bin/../../{BOB}/cgi-bin/his")
        self.assertEqual(self.ask(f"/~{ALICE}/cgi-bin/..%2Fx").status, 51)

    @unittest.skipUnless(IS_ROOT, "only root makes folders of the system's accounts")
    def test_accounts_of_the_system_have_none(self):
        self.write("root", "cgi-bin/who", WHO, 0o755)
        self.assert_statuses(51, "/~root/cgi-bin/who")


# Root's own is below min_uid.
OWNER = ALICE if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name


@contextlib.contextmanager
def acting_as(user):
    """What is made meanwhile belongs to that user, and it is that user who listens."""
    if IS_ROOT:
        os.seteuid(pwd.getpwnam(user).pw_uid)
    try:
        yield
    finally:
        if IS_ROOT:
            os.seteuid(0)


class ApplicationsOfUsers(Case):
    SITES = f'[sites.localhost."/~"]\n{ROOT}socket = "FOLDER/home/%user%/app.sock"\n'

    def socket_of(self, user):
        home = self.folder.path / "home" / user
        if not home.exists():
            self.write(user, "index.gmi", f"# {user}\n")
        self.addCleanup((home / "app.sock").unlink, missing_ok=True)
        return home / "app.sock"

    def application(self, place, user):
        """One of that user, which tells what it was asked."""
        def talk(connection):
            variables, body = read_scgi(connection)
            told = {"user": user, "body": body.decode(), **variables}
            connection.sendall(b"20 application/json\r\n" + json.dumps(told).encode())
        with acting_as(user):
            made = Application(place, talk)
        self.addCleanup(made.close)
        return made

    def test_each_user_has_one(self):
        for user in (ALICE, BOB) if IS_ROOT else (OWNER,):
            self.application(self.socket_of(user), user)
            told = self.told(f"/~{user}/app/a%2Fb?q")
            self.assertEqual((told["user"], told["SCRIPT_NAME"], told["PATH_INFO"], told["QUERY_STRING"]),
                             (user, f"/~{user}/app", "/a/b", "q"))
            self.assertEqual(self.told(f"/~{user}/app")["PATH_INFO"], "")
            self.assertEqual(self.ask(f"/~{user}/").body, f"# {user}\n".encode())

    def test_where_there_is_none_nothing_is_found(self):
        place = self.socket_of(OWNER)
        self.assert_statuses(51, f"/~{OWNER}/app", "/~stranger/app/", "/~root/app", "/~../app")
        place.write_text("")
        self.assert_statuses(51, f"/~{OWNER}/app")

    def test_one_that_has_ended_does_not_answer_and_one_that_has_begun_does(self):
        place = self.socket_of(OWNER)
        self.application(place, OWNER).close()
        self.assert_statuses(43, f"/~{OWNER}/app", f"/~{OWNER}/app", f"/~{OWNER}/app", f"/~{OWNER}/app")
        place.unlink()
        self.application(place, OWNER)
        self.assertEqual(self.told(f"/~{OWNER}/app")["user"], OWNER)

    def test_no_link_leads_to_one(self):
        place = self.socket_of(OWNER)
        other = place.with_name("other.sock")
        self.addCleanup(other.unlink)
        made = self.application(other, OWNER)
        place.symlink_to(other)
        self.assert_statuses(51, f"/~{OWNER}/app")
        self.assertEqual(made.made, 0)

    @unittest.skipUnless(IS_ROOT, "only root has several accounts")
    def test_nobody_answers_for_another_user(self):
        place = self.socket_of(ALICE)
        made = self.application(self.socket_of(BOB), BOB)
        self.socket_of(BOB).rename(place)
        self.assert_statuses(51, f"/~{ALICE}/app")
        self.assertTrue(eventually(lambda: "refused: it is not its user's" in self.server.log()))
        self.assertEqual(made.made, 0)

    @unittest.skipUnless(IS_ROOT, "only root gives sockets away")
    def test_who_listens_must_be_the_user(self):
        place = self.socket_of(ALICE)
        asked = []

        def talk(connection):
            asked.append(connection.recv(1))
        with acting_as(BOB):
            made = Application(self.socket_of(BOB), talk)
        self.addCleanup(made.close)
        self.socket_of(BOB).rename(place)
        self.own(ALICE, place)
        self.assert_statuses(51, f"/~{ALICE}/app")
        self.assertTrue(eventually(lambda: "who listens there is not its user" in self.server.log()))
        self.assertTrue(eventually(lambda: asked == [b""]), "it was asked something")


if __name__ == "__main__":
    unittest.main()
