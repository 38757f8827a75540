#!/usr/bin/env python3
"""Where Titan uploads go and never go, deleting, and ;edit.
The programs are those of $EGALAXYD_BIN_DIR."""
import os
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import sha256  # noqa: E402
from titan_case import MIB, TOKENS, TitanCase  # noqa: E402
from titan_client import Conversation  # noqa: E402


class Files(TitanCase):
    # T10: deleting.

    def test_delete(self):
        self.plant("/open/delete", b"old")
        answer = self.ask("/open/delete", ";size=0")
        self.assertIn(answer.status, (20, 30), answer)
        self.assert_closed_properly(answer)
        self.assert_absent("/open/delete")
        self.assertEqual(self.server.get("/open/delete").status, 51)
        last = self.records("/open/delete")[-1]
        self.assertEqual((last["outcome"], last["sha256"], last["previous_sha256"]),
                         ("deleted", "", sha256(b"old")))

    def test_delete_what_is_not_there(self):
        self.assert_refused(self.ask("/open/absent", ";size=0"), 51)

    def test_delete_where_it_is_off(self):
        self.plant("/keep/page", b"old")
        for parameters in (";size=0", ";mime=application/octet-stream;size=0", ";size=00"):
            self.assert_refused(self.ask("/keep/page", parameters), 50)
            self.assertEqual(self.file("/keep/page").read_bytes(), b"old")

    def test_delete_needs_the_same_permission(self):
        self.plant("/quota/guarded", b"old")
        self.assert_refused(self.ask("/quota/guarded", ";size=0"), 60)
        self.assertEqual(self.file("/quota/guarded").read_bytes(), b"old")
        self.file("/quota/guarded").unlink()

    def test_a_folder_is_not_deleted(self):
        self.folder.make("open/kept")
        for path in ("/open/kept", "/open/kept/", "/open", "/open/"):
            with self.subTest(path):
                self.assert_refused(self.ask(path, ";size=0"), *range(50, 60))
                self.assertTrue(self.file("/open/kept").is_dir())

    # T12: where Gemini would redirect.

    def test_no_upload_where_gemini_redirects(self):
        self.folder.make("open/folder")
        for path in ("/old", "/open/folder"):
            with self.subTest(path):
                self.assertIn(self.server.get(path).status, (30, 31))
                self.assert_refused(self.ask(path, ";size=3", b"abc"), 50)
        self.assertTrue(self.file("/open/folder").is_dir())

    def test_a_folder_means_its_index(self):
        self.folder.make("open/home")
        answer = self.server.put("/open/home/", b"# Home\n")
        self.assertEqual((answer.status, answer.meta), (30, self.server.url("/open/home/", "gemini")))
        self.assertEqual(self.file("/open/home/index.gmi").read_bytes(), b"# Home\n")
        self.assertEqual(self.server.get("/open/home/").body, b"# Home\n")
        self.assertEqual(self.edit("/open/home/").body, b"# Home\n")
        self.assertEqual([record["path"] for record in self.records("/open/home/index.gmi")],
                         ["/open/home/index.gmi"])
        answer = self.ask("/open/home/", ";size=0")
        self.assertEqual(answer.status, 20)
        self.assertIn(b"=> " + self.server.url("/open/home/", "gemini").encode(), answer.body)
        self.assert_absent("/open/home/index.gmi")
        self.assertEqual(self.edit("/open/home/").body, b"")

    def test_a_folder_means_the_index_that_it_has(self):
        self.folder.make("open/other")
        self.plant("/open/other/index.gemini", b"old")
        self.assertEqual(self.server.put("/open/other/", b"new").status, 30)
        self.assertEqual(self.file("/open/other/index.gemini").read_bytes(), b"new")
        self.assert_absent("/open/other/index.gmi")

    def test_a_folder_that_is_not_there(self):
        self.assert_refused(self.ask("/open/slash/", ";size=3", b"abc"), 51)
        self.assert_absent("/open/slash")

    # T14: where files go.

    def test_nothing_leaves_the_root(self):
        self.folder.make("open/sub")
        before = sorted(path for path in self.folder.path.rglob("*") if "state" not in path.parts)
        for path in ("/../x", "/open/../x", "/open/../../x", "/open/%2e%2e/x", "/open/.%2e/x",
                     "/open/..%2fx", "/open/..%2F..%2Fx", "/open/a%2F..%2F..%2Fx",
                     "/open/sub%2F..%2F..%2Fx", "/open/sub%2Fx", "/open/%2Ftmp%2Fx",
                     "/open//x", "/open/sub//x", "/open/%2e%2e%2fx", "/open/sub/%2e%2e/%2e%2e/x",
                     "/open/x%00", "/open/%00x", "/open/..", "/open/%2e%2e",
                     "//open/x", "/open/..;size=1/x"):
            with self.subTest(path):
                answer = self.ask(path, ";size=3", b"abc")
                if answer.status == 30:  # an empty segment may fold, but never leave
                    self.assertIn("//", path)
                    for stray in (self.file("/open/x"), self.file("/open/sub/x")):
                        stray.unlink(missing_ok=True)
                else:
                    self.assert_refused(answer, *range(50, 60))
        after = sorted(path for path in self.folder.path.rglob("*") if "state" not in path.parts)
        self.assertEqual(before, after)

    def test_symbolic_links_that_leave_the_root(self):
        (self.outside / "secret").write_bytes(b"old")
        for name, target in (("way-out", self.outside), ("leak", self.outside / "secret"),
                             ("dangling", self.outside / "new"), ("up", ".."),
                             ("up-and-out", "../outside/secret")):
            self.file(f"/open/{name}").symlink_to(target)
        for path in ("/open/way-out/x", "/open/way-out/secret", "/open/leak", "/open/dangling",
                     "/open/up/outside/x", "/open/up-and-out"):
            for parameters, body in ((";size=3", b"new"), (";size=0", b"")):
                with self.subTest(path=path, parameters=parameters):
                    self.assert_refused(self.ask(path, parameters, body), *range(50, 60))
            self.assertNotIn(b"old", self.ask(path, ";edit").body)
        self.assertEqual([path.name for path in self.outside.iterdir()], ["secret"])
        self.assertEqual((self.outside / "secret").read_bytes(), b"old")

    def test_symbolic_links_inside_the_root(self):
        self.folder.make("open/real")
        self.file("/open/way-in").symlink_to("real")
        answer = self.server.put("/open/way-in/x", b"abc")
        self.assertEqual(answer.status, 30, answer)
        self.assertEqual(self.file("/open/real/x").read_bytes(), b"abc")

    def test_parents_are_made_only_where_allowed(self):
        self.assert_refused(self.server.put("/open/new/deep/x", b"abc"), *range(50, 60))
        self.assert_absent("/open/new")
        self.assert_stored(self.server.put("/parents/new/deep/x", b"abc"), "/parents/new/deep/x",
                           b"abc")

    def test_no_folders_remain_of_a_refused_upload(self):
        answer = self.ask("/parents/refused/deep/x", ";size=10", b"abc", finish="close_notify")
        self.assert_refused(answer, 59)
        self.assertEqual(self.server.get("/parents/refused/deep/x").status, 51)
        answer = self.server.put("/parents/../refused/x", b"abc")
        self.assert_refused(answer, *range(50, 60))

    def test_parents_do_not_grow_through_a_file(self):
        self.plant("/parents/file", b"old")
        self.assert_refused(self.server.put("/parents/file/x", b"abc"), *range(50, 60))
        self.assertEqual(self.file("/parents/file").read_bytes(), b"old")

    def test_a_target_that_is_no_file(self):
        os.mkfifo(self.file("/open/fifo"))
        for parameters, body in ((";size=3", b"abc"), (";size=0", b"")):
            answer = self.ask("/open/fifo", parameters, body)
            self.assert_refused(answer, *range(50, 60))
            self.assertLess(answer.seconds, 20)
        self.assertTrue(self.file("/open/fifo").is_fifo())
        self.assert_refused(self.ask("/open/fifo", ";edit"), *range(50, 60))

    def test_hidden_files(self):
        self.plant("/open/.hidden", b"old")
        self.assertEqual(self.server.get("/open/.hidden").status, 51)
        for path in ("/open/.hidden", "/open/.new", "/open/.egalaxyd-x", "/open/.git/config",
                     "/open/%2enew"):
            with self.subTest(path):
                self.assert_refused(self.server.put(path, b"abc"), *range(50, 60))
                self.assertNotEqual(self.ask(path, ";edit").status, 20)
        self.assertEqual(self.file("/open/.hidden").read_bytes(), b"old")

    def test_names_that_no_file_system_takes(self):
        for name in ("n" * 256, "n" * 900):
            self.assert_refused(self.server.put(f"/open/{name}", b"abc"), *range(50, 60))

    @unittest.skipIf(os.geteuid() == 0, "workers that run as root may write everywhere")
    def test_a_read_only_folder(self):
        folder = self.folder.make("open/read-only")
        self.plant("/open/read-only/x", b"old")
        folder.chmod(0o555)
        for path in ("/open/read-only/x", "/open/read-only/new"):
            self.assert_refused(self.server.put(path, b"abc"), *range(40, 60))
        self.assert_refused(self.ask("/open/read-only/x", ";size=0"), *range(40, 60))
        self.assertEqual(self.file("/open/read-only/x").read_bytes(), b"old")

    def test_replacing_keeps_readers_whole(self):
        old, new = b"old" * 1000, b"new" * 1000
        self.plant("/open/half", old)
        with Conversation(self.server.port) as talk:
            talk.say(self.line("/open/half", f";size={len(new)}").encode() + b"\r\n" + new[:1500])
            for _ in range(10):
                self.assertEqual(self.server.get("/open/half").body, old)
            talk.say(new[1500:])
            self.assert_stored(talk.read(), "/open/half", new)

    def test_a_reader_who_has_begun_reads_the_old_file_to_its_end(self):
        old = b"o" * (8 * MIB)
        self.plant("/open/begun", old)
        with Conversation(self.server.port, receive_buffer=4096) as reader:
            reader.say(self.server.url("/open/begun", "gemini").encode() + b"\r\n")
            reader.await_answer()
            self.assert_stored(self.server.put("/open/begun", b"new"), "/open/begun", b"new")
            self.assertEqual(reader.read().body, old)

    # ;edit

    def edit(self, path, parameters=";edit", **options):
        return self.ask(path, parameters, **options)

    def test_edit_returns_the_raw_file(self):
        body = b"# Title\r\nText without an end"
        for path, mime in (("/open/edit.gmi", "text/gemini"), ("/open/edit.txt", "text/plain")):
            self.plant(path, body)
            for spelling in (";edit", ";EDIT", ";Edit", ";edit?query"):
                answer = self.edit(path, spelling)
                self.assertEqual((answer.status, answer.body), (20, body), answer)
                self.assertEqual(answer.meta.partition(";")[0], mime)
                self.assert_closed_properly(answer)

    def test_edit_of_a_new_page_is_empty_gemtext(self):
        answer = self.edit("/open/edit-new.gmi")
        self.assertEqual((answer.status, answer.meta, answer.body), (20, "text/gemini", b""))
        self.assert_closed_properly(answer)
        self.assert_absent("/open/edit-new.gmi")

    def test_edit_and_anything_else(self):
        self.plant("/open/edit-more", b"old")
        for parameters in (";edit;size=3", ";size=3;edit", ";edit=1", ";edit;edit", ";edit;x=1",
                           ";edit;token=t"):
            with self.subTest(parameters):
                self.assert_refused(self.edit("/open/edit-more", parameters), 59)
        # Bytes behind the line are ignored or refused, and never stored.
        self.assertIn(self.ask("/open/edit-more", ";edit", b"X").status, (20, 59))
        self.assertEqual(self.file("/open/edit-more").read_bytes(), b"old")

    def test_edit_needs_the_permission_to_write(self):
        for folder in ("listed", "certified", "tokens", "gate"):
            self.plant(f"/{folder}/secret.gmi", b"old")
        self.assert_refused(self.edit("/listed/secret.gmi"), 60)
        self.assert_refused(self.edit("/listed/secret.gmi", certificate=self.stranger), 61)
        self.assert_refused(self.edit("/certified/secret.gmi"), 60)
        self.assert_refused(self.edit("/certified/secret.gmi", certificate=self.expired), 62)
        self.assert_refused(self.edit("/gate/secret.gmi"), 60)
        self.assert_refused(self.edit("/secret.gmi"), 50)
        for folder in ("listed", "certified", "gate"):
            answer = self.edit(f"/{folder}/secret.gmi", certificate=self.listed)
            self.assertEqual((answer.status, answer.body), (20, b"old"))

    def test_edit_shows_where_tokens_are_taken_what_a_plain_request_shows(self):
        for folder in ("tokens", "either"):
            self.plant(f"/{folder}/page.gmi", b"old")
            self.plant(f"/{folder}/.hidden", b"old")
            answer = self.edit(f"/{folder}/page.gmi")
            self.assertEqual((answer.status, answer.body), (20, b"old"))
            self.assert_refused(self.edit(f"/{folder}/.hidden"), 51)
            self.assertEqual(self.edit(f"/{folder}/new.gmi").body, b"")
            self.assert_stored(self.server.put(f"/{folder}/page.gmi", b"new", f";token={TOKENS[0]}"),
                               f"/{folder}/page.gmi", b"new")

    def test_edit_of_what_is_no_file(self):
        self.folder.make("open/edit-folder")
        for path in ("/open/edit-folder/", "/open/", "/open/nowhere/x"):
            with self.subTest(path):
                self.assertNotEqual(self.edit(path).status, 40)
        self.assert_refused(self.edit("/open/edit-folder/../../../x"), 59)


if __name__ == "__main__":
    unittest.main()
