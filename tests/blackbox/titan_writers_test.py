#!/usr/bin/env python3
"""Who may write over Titan, what is recorded of it, and how much each may store.
The programs are those of $EGALAXYD_BIN_DIR."""
import json
import pathlib
import re
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (eventually, fingerprint, make_certificate, program,  # noqa: E402
                     sha256)
from titan_case import TOKENS, TitanCase  # noqa: E402
from titan_client import Conversation  # noqa: E402


class Writers(TitanCase):
    # T5: tokens.

    def test_tokens_encoded_and_raw(self):
        spellings = [TOKENS[0], "%70lain-token-7f3a", urllib.parse.quote(TOKENS[1], safe=""),
                     urllib.parse.quote(TOKENS[1], safe="=&"), urllib.parse.quote(TOKENS[2]),
                     "100%2525"]
        for number, token in enumerate(spellings):
            with self.subTest(token):
                path = f"/tokens/spelling{number}"
                self.assert_stored(self.server.put(path, b"abc", f";token={token}"), path, b"abc")

    def test_a_missing_or_wrong_token(self):
        for parameters in ("", ";token=", ";token=wrong-4c1d", f";token={TOKENS[0]}x",
                           f";token={TOKENS[0][:-1]}", f";TOKEN={TOKENS[0]}x",
                           ";token=" + sha256(TOKENS[0].encode()),
                           ";token=sha256:" + sha256(TOKENS[0].encode()), ";token=%zz"):
            with self.subTest(parameters):
                answer = self.server.put("/tokens/missing", b"abc", parameters)
                self.assert_refused(answer, *((59, 61) if "%zz" in parameters else (61,)))
                self.assert_absent("/tokens/missing")

    def test_a_wrong_token_where_a_certificate_could_have_done(self):
        for options in ({}, {"certificate": self.stranger}):
            for parameters in ("", ";token=wrong-4c1d"):
                with self.subTest(options=options, parameters=parameters):
                    answer = self.server.put("/either/wrong", b"abc", parameters, **options)
                    self.assert_refused(answer, 61 if options or "wrong" in parameters else 60)
                    self.assert_absent("/either/wrong")

    def test_a_token_or_a_certificate(self):
        self.assert_stored(self.server.put("/either/t", b"abc", f";token={TOKENS[0]}"),
                           "/either/t", b"abc")
        self.assert_stored(self.server.put("/either/c", b"abc", certificate=self.listed),
                           "/either/c", b"abc")
        self.assert_stored(self.server.put("/either/b", b"abc", f";token={TOKENS[0]}",
                                           certificate=self.stranger), "/either/b", b"abc")

    def test_tokens_are_never_written_down(self):
        secrets = {"log-good": TOKENS[0], "log-wrong": "wrong-secret-55aa",
                   "log-encoded": urllib.parse.quote(TOKENS[1], safe="")}
        for name, token in secrets.items():
            answer = self.server.put(f"/tokens/{name}", b"abc", f";token={token}")
            self.assertNotIn(token, answer.meta)
            answer = self.ask(f"/tokens/{name}", f";token={token};size=nonsense")
            self.assertNotIn(token, answer.meta)
            # The request was logged, so what is not there was left out.
            self.assertTrue(eventually(lambda name=name: name in self.server.log()))
        rows = "".join(map(str, self.server.uploads()))
        for secret in [*secrets.values(), *TOKENS]:
            for text in (secret, urllib.parse.quote(secret, safe="")):
                self.assertNotIn(text, self.server.log())
                self.assertNotIn(text, rows)

    # Names.

    def ctl(self, *words):
        ran = subprocess.run([program("egalaxyctl"), "--socket",
                              self.folder.path / "run/control.sock", *words],
                             capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def test_names_of_people_and_tokens(self):
        for path, options in (("/named/person", {"certificate": self.listed}),
                              ("/named/token", {"parameters": ";token=named-2e8b"}),
                              ("/named/both", {"parameters": ";token=named-2e8b",
                                               "certificate": self.listed})):
            self.assert_stored(self.server.put(path, b"abc", **options), path, b"abc")
        # A stranger's certificate calls itself as somebody does who has a name.
        pretender = make_certificate(self.folder.make("pretender"), "ann")
        self.assert_stored(self.server.put("/certified/named", b"abc", certificate=pretender),
                           "/certified/named", b"abc")
        person, token, both, stranger = (
            self.records(path)[0]["writer"] for path in ("/named/person", "/named/token",
                                                         "/named/both", "/certified/named"))
        self.assertEqual((person, token, both, stranger), ("ann", "desk-1", "ann", ""))

        ids = [fingerprint(self.listed), fingerprint(pretender)]
        users = eventually(lambda: self.known(ids))
        self.assertEqual([(user["name"], user["claimed"]) for user in users],
                         [("ann", "listed"), ("", "ann")])
        lines = self.ctl("users").splitlines()
        self.assertRegex(next(line for line in lines if ids[0][:16] in line),
                         r' @ann .* "listed"$')
        self.assertRegex(next(line for line in lines if ids[1][:16] in line), r' - .* "ann"$')

        for path, writer in (("/named/person", "ann"), ("/named/token", "desk-1")):
            listed = self.ctl("uploads", "--path", path, "--user", "@" + writer)
            self.assertRegex(listed, rf" @{writer} +localhost +{path}\n")
            number = str(self.records(path)[0]["id"])
            self.assertRegex(self.ctl("uploads", "show", number), rf"\nwriter +@{writer}\n")
            answer = json.loads(self.ctl("uploads", "show", number, "--json"))
            self.assertEqual(answer["upload"]["writer"], writer)

        for path, user in (("person", ids[0][:16] + "@ann"), ("token", "@desk-1"),
                           ("both", ids[0][:16] + "@ann")):
            self.assertTrue(eventually(lambda path=path, user=user: re.search(
                rf'titan 30 "[^"]*/named/{path};.* user={user} ', self.server.log())), user)

    def known(self, ids):
        users = {user["id"]: user for user in json.loads(self.ctl("users", "--json"))["users"]}
        return [users[each] for each in ids] if all(
            each in users and users[each]["claimed"] for each in ids) else None

    # Certificates and records.

    def test_listed_certificates(self):
        for certificate in (self.listed, self.second):
            path = f"/listed/{fingerprint(certificate)[:8]}"
            self.assert_stored(self.server.put(path, b"abc", certificate=certificate), path, b"abc")
        self.assert_refused(self.server.put("/listed/no", b"abc", certificate=self.stranger), 61)
        self.assert_refused(self.server.put("/listed/no", b"abc"), 60)
        self.assert_absent("/listed/no")

    def test_any_certificate(self):
        self.assert_stored(self.server.put("/certified/any", b"abc", certificate=self.stranger),
                           "/certified/any", b"abc")

    def test_anyone_behind_a_gate(self):
        answer = self.server.put("/gate/any", b"abc", certificate=self.stranger)
        self.assertEqual(answer.status, 30, answer)
        self.assertEqual(self.file("/gate/any").read_bytes(), b"abc")
        self.assert_refused(self.server.put("/gate/none", b"abc"), 60)
        self.assert_refused(self.server.put("/gate/bad", b"abc", certificate=self.expired), 62)

    def test_an_expired_certificate_harms_nobody_where_none_is_wanted(self):
        self.assert_stored(self.server.put("/open/expired", b"abc", certificate=self.expired),
                           "/open/expired", b"abc")

    def test_records_tell_what_happened(self):
        began = int(time.time())
        path = "/certified/r%C3%A9cord.gmi"
        for body in (b"one", b"three"):
            self.assert_stored(self.server.put(path, body, ";mime=text/plain",
                                               certificate=self.listed), path, body)
        first, second = self.records(path)
        common = {"protocol": "titan", "host": "localhost", "path": "/certified/récord.gmi",
                  "user": fingerprint(self.listed), "mime": "text/plain"}
        self.assertLessEqual({**common, "size": 3, "sha256": sha256(b"one"),
                              "previous_sha256": "", "outcome": "stored"}.items(), first.items())
        self.assertLessEqual({**common, "size": 5, "sha256": sha256(b"three"),
                              "previous_sha256": sha256(b"one"), "outcome": "replaced"}.items(),
                             second.items())
        for record in (first, second):
            self.assertTrue(began <= record["time"] <= time.time() + 1, record)
            self.assertRegex(record["client"], r"^127\.0\.0\.")
            self.assertNotEqual(record["client"], "127.0.0.1")  # masked, as in the log

    def test_a_file_that_was_there_before_is_replaced(self):
        self.plant("/open/planted", b"by hand")
        self.assert_stored(self.server.put("/open/planted", b"abc"), "/open/planted", b"abc")
        record, found = self.records("/open/planted")
        if record["outcome"] == "found":
            record, found = found, record
        self.assertEqual((record["outcome"], record["previous_sha256"], record["user"]),
                         ("replaced", sha256(b"by hand"), None))
        self.assertEqual((found["outcome"], found["sha256"], found["user"], found["latest"]),
                         ("found", sha256(b"by hand"), None, 0))

    def test_an_upload_under_way_has_no_record_and_a_refused_one_when_it_fails(self):
        with Conversation(self.server.port) as talk:
            talk.say(self.line("/open/pending", ";size=10").encode() + b"\r\nabc")
            self.assertEqual(self.records("/open/pending"), [])
            talk.close_notify()
            self.assert_refused(talk.read(), 59)
        for record in self.records("/open/pending"):
            self.assertEqual(record["outcome"], "refused")
            self.assertTrue(record["why"])

    def test_a_type_that_is_none_is_recorded_as_none(self):
        self.server.put("/open/type", b"abc", ";mime=%FF%1b%5B2J")
        for record in self.records("/open/type"):
            self.assertEqual((record["outcome"], record["mime"]), ("refused", ""))

    def test_refusals_that_are_recorded_say_why(self):
        self.server.put("/open/why", b"abc", ";mime=image/png")
        self.server.put("/quota/why", b"x" * 1025, certificate=self.second)
        for record in self.server.uploads("outcome = 'refused'"):
            self.assertRegex(record["why"], r"\w")

    # Quotas.

    def test_quota(self):
        who = {"certificate": self.listed}
        self.assert_stored(self.server.put("/quota/a", b"a" * 600, **who), "/quota/a", b"a" * 600)
        self.assert_refused(self.server.put("/quota/b", b"b" * 600, **who), *range(40, 60))
        self.assert_absent("/quota/b")
        # Replacing counts the difference (a file counts a block of 4 KiB too), other people have quotas of their own.
        self.assert_stored(self.server.put("/quota/a", b"A" * 1024, **who), "/quota/a",
                           b"A" * 1024)
        self.assert_refused(self.server.put("/quota/a", b"A" * 1025, **who), *range(40, 60))
        self.assertEqual(self.file("/quota/a").read_bytes(), b"A" * 1024)
        self.assert_stored(self.server.put("/quota/c", b"c" * 600, certificate=self.second),
                           "/quota/c", b"c" * 600)
        # What is deleted is given back.
        self.assertIn(self.ask("/quota/a", ";size=0", **who).status, (20, 30))
        self.assert_stored(self.server.put("/quota/b", b"b" * 1024, **who), "/quota/b",
                           b"b" * 1024)

    def test_a_quota_is_reached_in_the_middle(self):
        thief = make_certificate(self.folder.path, "thief")
        line = self.line("/quota/m1", ";size=600").encode() + b"\r\n"
        with Conversation(self.server.port, certificate=thief) as first:
            first.say(line + b"1" * 300)
            second = self.server.put("/quota/m2", b"2" * 600, certificate=thief)
            first.say(b"1" * 300)
            answers = {"/quota/m1": first.read(), "/quota/m2": second}
        good = [path for path, answer in answers.items() if answer.status == 30]
        self.assertEqual(len(good), 1, answers)
        for path, answer in answers.items():
            if path in good:
                self.assertEqual(self.file(path).stat().st_size, 600)
            else:
                self.assert_refused(answer, *range(40, 60))
                self.assert_absent(path)

    def test_a_quota_holds_against_many_at_once(self):
        crowd = make_certificate(self.folder.path, "crowd")
        answers = []

        def put(number):
            answers.append(self.server.put(f"/parts/crowd{number}", b"x" * 300, certificate=crowd))
        threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = list(self.folder.path.glob("parts/crowd*"))
        self.assertEqual(sum(answer.status == 30 for answer in answers), 3, answers)
        self.assertEqual(len(stored), 3)
        self.assertEqual(self.server.temporary_files(), [])


if __name__ == "__main__":
    unittest.main()
