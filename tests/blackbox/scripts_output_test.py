#!/usr/bin/env python3
"""What becomes of the things that scripts say, above all of bad ones: what the client gets, and what
the log tells. The program is the one of $EGALAXYD_BIN_DIR."""
import pathlib
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from script_case import PYTHON, ScriptCase, mount, shell  # noqa: E402

SITES = (mount("/cgi-bin") + mount("/impatient", 'header_timeout = "1s"')
         + mount("/short", 'cpu_time = "1s"\nheader_timeout = "60s"')
         + '[sites.localhost."/one"]\nmodule = "cgi"\nscript = "one"\nargs = ["-x", "a b"]\n'
         + mount("/gone", root="gone") + mount("/noexec", root="noexec"))


def says(text):
    """A script that says exactly that, and ends well."""
    data = text if isinstance(text, bytes) else text.encode()
    return PYTHON + f"import os\nos.write(1, {data!r})\n"


class Output(ScriptCase):
    SITES = SITES

    @classmethod
    def prepare(cls):
        for name in ("gone", "noexec"):
            (cls.folder.path / name).mkdir(mode=0o755)
        one = cls.folder.path / "one"
        one.write_text(shell("printf '20 text/plain\\r\\n'; printf '%s\\n' \"$@\" \"$PATH_INFO\""))
        one.chmod(0o755)

    def run_script(self, text, **options):
        name = self.id().rpartition(".")[2].removeprefix("test_")
        self.script(name, text)
        return self.ask("/cgi-bin/" + name, **options)

    def assert_says(self, said, status, meta, body=b""):
        answer = self.run_script(says(said))
        self.assertEqual((answer.status, answer.meta, answer.body, answer.end),
                         (status, meta, body, "close_notify"), said)

    def assert_told(self, pattern, level="error"):
        """The log has that of this test's script."""
        name = self.id().rpartition(".")[2].removeprefix("test_")
        self.assert_logged(rf'{level} +worker \d: cgi "/cgi-bin/{name}"\[\d+\]: {pattern}')

    def assert_bad(self, text, log):
        answer = self.run_script(text)
        self.assert_refused(answer, 42)
        self.assertNotIn("secret", answer.meta)
        self.assert_told(log)
        return answer

    def test_no_word_at_all(self):
        answer = self.assert_bad(shell("exit 0"), "ended .*without a word")
        self.assertEqual(answer.meta, "The application gave no answer")

    def test_a_failure_before_the_header(self):
        self.assert_bad(shell("exit 3"), "exited with code 3 before its header")

    def test_a_signal_before_the_header(self):
        self.assert_bad(shell("printf '20 te'\nkill -SEGV $$"),
                        r"killed by signal 11 \(SIGSEGV\) before its header")

    def test_a_beginning_that_is_no_header(self):
        for text in ("<html>secret</html>\n", " 20 text/gemini\r\n", "\r\n20 text/gemini\r\n",
                     "\N{BYTE ORDER MARK}20 text/gemini\r\n", b"\0\1\2"):
            self.assert_bad(says(text), "no header: \"")
        self.assert_told('no header: "<html>secret</html>')

    def test_a_line_without_end(self):
        self.assert_bad(says(b"20 " + b"x" * 2000), 'no header: "20 x{77}"')

    def test_a_line_without_end_that_stops(self):
        self.assert_bad(says("20 text/gemini"), 'ended before its header was whole: "20 text/gemini"')

    def test_a_long_beginning_is_quoted_in_part(self):
        self.assert_bad(says("#" * 500 + "secret"), 'no header: "#{80}"')

    def test_a_bare_line_feed_ends_a_header(self):
        self.assert_says("20 text/plain\nbody\n", 20, "text/plain", b"body\n")
        self.assert_says("20 text/plain\n\r\nbody", 20, "text/plain", b"\r\nbody")

    def test_blanks_before_the_meta_are_one(self):
        for blanks in ("\t", "  ", " \t  "):
            self.assert_says(f"20{blanks}text/plain\r\nbody", 20, "text/plain", b"body")
        self.assert_told(".*", "debug")

    def test_success_without_meta_is_gemtext(self):
        for line in ("20", "20 ", "20\t"):
            self.assert_says(line + "\r\n# body", 20, "text/gemini", b"# body")

    def test_others_without_meta_get_the_usual_text(self):
        for status in (10, 11, 40, 51, 59, 60, 62):
            answer = self.run_script(says(f"{status}\r\n"))
            self.assertEqual((answer.status, answer.end), (status, "close_notify"))
            self.assertRegex(answer.meta, r"\w", status)

    def test_a_redirect_is_a_url_reference(self):
        for target in ("/there", "there?a#b", "gemini://e.org/x", "../x", "?query", "https://e.org/"):
            self.assert_says(f"30 {target}\r\n", 30, target)
        for target in ("", "/a b", "http://[", "//e.org/x", "/\x01", "/ä\x7f"):
            self.assert_bad(says(f"31 {target}\r\n"), "bad redirect \"")

    def test_statuses_that_do_not_exist(self):
        for line in ("21 x", "63 secret", "99 x", "5 x", "200 OK", "00 x", "2 text/plain", "70"):
            self.assert_bad(says(line + "\r\nbody"), f"status {line.split()[0]} does not exist")

    def test_http_is_no_header(self):
        self.assert_bad(says("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"), "no header: \"")

    def test_the_longest_meta(self):
        meta = "text/plain; x=" + "y" * 1010
        self.assert_says(f"20 {meta}\r\nbody", 20, meta, b"body")
        self.assert_bad(says(f"20 {meta}y\r\nbody"), "header too long: \"|no header: \"")
        self.assert_bad(says(f"20 {meta}y\nbody"), "header too long: \"")

    def test_a_meta_that_is_no_text(self):
        for meta in (b"text/plain\x1b[31m", b"text/pl\xff", b"a\0b", b"10\x07"):
            self.assert_bad(says(b"20 " + meta + b"\r\n"), "the header is not text: \"")

    def test_texts_for_people_are_cleaned(self):
        for status in (40, 50, 60):
            answer = self.run_script(says(f"{status} red \x1b[31m and \x00\r\n"))
            self.assertEqual((answer.status, answer.end), (status, "close_notify"))
            self.assertTrue(answer.meta.startswith("red ") and answer.meta.isprintable(), answer.meta)

    def test_a_prompt_is_passed_on(self):
        self.assert_says("10 Your näme?\r\n", 10, "Your näme?")
        self.assert_says("11 Password\r\n", 11, "Password")

    def test_a_broken_media_type_is_bytes(self):
        self.assert_says("20 gemtext\r\nbody", 20, "application/octet-stream", b"body")
        self.assert_told('the media type "gemtext" is malformed', "warn")

    def test_a_body_that_may_not_be_is_left_out(self):
        for line in ("10 Name?", "30 /x", "51 Gone", "60 Certificate"):
            self.assert_says(f"{line}\r\nsecret", int(line[:2]), line[3:])
        mark = self.mark("done")
        answer = self.run_script(shell(f"printf '51 No\\r\\n'\nhead -c 50000 /dev/zero\necho $$ > {mark}"))
        self.assertEqual((answer.status, answer.body), (51, b""))
        self.pid_in(mark)

    def test_who_says_much_that_may_not_be_is_stopped(self):
        mark = self.mark("pid")
        answer = self.run_script(shell(f"echo $$ > {mark}\nprintf '51 No\\r\\n'\nexec cat /dev/zero"))
        self.assertEqual((answer.status, answer.meta, answer.body), (51, "No", b""))
        self.assert_ends(self.pid_in(mark))

    def test_header_blocks(self):
        block = "Content-Type: text/plain"
        self.assert_says(block + "\r\n\r\nbody", 20, "text/plain", b"body")
        self.assert_says(block + "\nX-Other: y\n\n\nbody", 20, "text/plain", b"\nbody")
        self.assert_says("content-type:text/html; charset=utf-8\n\n", 20, "text/html; charset=utf-8")
        self.assert_says("Status: 200 OK\n" + block + "\n\nbody", 20, "text/plain", b"body")
        self.assert_says("Status: 204\n\n", 20, "text/gemini")
        self.assert_says("Location: /there\n\n", 30, "/there")
        for http, gemini in ((301, 31), (308, 31), (302, 30), (303, 30), (307, 30)):
            self.assert_says(f"Status: {http} Moved\nLocation: gemini://e.org/\n\nsecret", gemini,
                             "gemini://e.org/")
        for http, gemini in ((400, 59), (405, 59), (401, 60), (403, 61), (404, 51), (410, 52),
                             (503, 41), (418, 50), (500, 42), (502, 42)):
            answer = self.run_script(says(f"Status: {http} Some words\n{block}\n\nsecret"))
            self.assertEqual((answer.status, answer.meta, answer.body), (gemini, "Some words", b""))
        answer = self.run_script(says(f"Status: 429 Too many\n{block}\n\n"))
        self.assertEqual(answer.status, 44)
        self.assertRegex(answer.meta, r"^\d+$")

    def test_bad_header_blocks(self):
        self.assert_bad(says("X-Nothing: secret\n\nbody"), "a header without Content-Type")
        self.assert_bad(says("Content-Type: text/plain\nno field\n\n"), "no header: \"")
        self.assert_bad(says("Status: 99\n\n"), "Status: \"99\" means nothing here")
        self.assert_bad(says("Status: 302\n\n"), "bad redirect \"\"")
        self.assert_bad(says("Location: /a b\n\n"), "bad redirect \"/a b\"")
        self.assert_bad(says("X: " + "y" * 9000 + "\n\n"), "no header: \"")
        self.assert_bad(says("Content-Type: text/plain\n"), "ended before its header was whole: \"")

    def test_no_header_in_time(self):
        mark = self.mark("pid")
        self.script("silent", shell(f"echo $$ > {mark}\nprintf '20 te'\nexec sleep 100"))
        answer = self.ask("/impatient/silent")
        self.assert_refused(answer, 42, "The application did not answer in time")
        self.assert_logged(r'error +worker \d: cgi "/impatient/silent"\[\d+\]: '
                           r"no header within 1 s \(header_timeout\); it is stopped")
        if mark.exists():  # it had come so far
            self.assert_ends(self.pid_in(mark))

    def test_a_failure_after_the_answer(self):
        answer = self.run_script(shell("printf '20 text/plain\\r\\nbody'\nexit 3"))
        self.assertEqual((answer.status, answer.body, answer.end), (20, b"body", "close_notify"))
        self.assert_told("exited with code 3 after its answer, which was sent", "warn")

    def test_a_signal_in_the_answer_cuts_it(self):
        answer = self.run_script(shell("printf '20 text/plain\\r\\nbody'\nkill -KILL $$"))
        self.assertEqual((answer.status, answer.body), (20, b"body"))
        self.assertNotEqual(answer.end, "close_notify", "the answer looks whole")
        self.assert_told(r"killed by signal 9 \(SIGKILL\) in the middle of its answer, which was cut")

    def test_a_signal_right_after_the_header_leaves_it_without_an_end(self):
        answer = self.run_script(shell("printf '20 text/plain\\r\\n'\nkill -KILL $$"))
        self.assertEqual((answer.status, answer.body), (20, b""))
        self.assertNotEqual(answer.end, "close_notify", "the answer looks whole")

    def test_too_much_processor_time(self):
        self.script("busy", shell("while :; do :; done"))
        self.assert_refused(self.ask("/short/busy"), 42)
        self.assert_logged(r'"/short/busy"\[\d+\]: killed by signal 24 \(SIGXCPU\) before its header')

    def test_programs_that_cannot_run(self):
        for text, why in ((b"#!/no/such/php\n", 'cannot run: no interpreter "/no/such/php"'),
                          (b"#!/bin/sh\r\n", "cannot run: its first line ends in CR LF, not in LF"),
                          (b"echo secret\n",
                           'cannot run: it is no program and does not begin with "#!"'),
                          (b"\x7fELF", "cannot run: it is no program"),
                          (b"", "cannot run: it is no program"),
                          (b"#!/tmp\n", 'cannot run it by "/tmp"')):
            answer = self.run_script(text)
            self.assert_refused(answer, 42, "The application cannot be run")
            self.assert_logged(r'error +worker \d: cgi "/cgi-bin/programs_that_cannot_run": '
                               + re.escape(why))

    def test_what_everybody_may_write_does_not_run(self):
        script = self.script("open-file", says("20\r\n"))
        script.chmod(0o777)
        self.assert_refused(self.ask("/cgi-bin/open-file"), 42, "The application cannot be run")
        self.assert_logged(r'error +worker \d: cgi "/cgi-bin/open-file": refused: everybody may write')
        self.script("open-folder/x", says("20\r\n"))
        (self.cgi / "open-folder").chmod(0o777)
        self.assert_refused(self.ask("/cgi-bin/open-folder/x"), 42, "The application cannot be run")
        self.assert_logged(r'error +worker \d: cgi "/cgi-bin/open-folder/x": refused: everybody may')

    def test_a_script_that_only_others_may_execute_does_not_run(self):
        self.script("others", says("20\r\n"), 0o614)
        answer = self.ask("/cgi-bin/others")
        self.assert_refused(answer, 42, "The application cannot be run")
        self.assert_logged(r'cgi "/cgi-bin/others": refused: this account may not execute it')

    def test_a_root_that_is_mounted_noexec_runs_nothing(self):
        root = self.folder.path / "noexec"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=755,size=64k", "none", root],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("mounting is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", root], check=True)
        (root / "x").write_text(says("20\r\n"))
        (root / "x").chmod(0o755)
        self.assert_refused(self.ask("/noexec/x"), 42, "The application cannot be run")
        self.assert_logged(r'cgi "/noexec/x": refused: its file system is mounted noexec')

    def test_a_root_that_is_gone_has_no_scripts(self):
        (self.folder.path / "gone").rename(self.folder.path / "away")
        self.assert_refused(self.ask("/gone/x"), 51)

    def test_standard_error_is_for_the_log_alone(self):
        answer = self.run_script(shell("echo 'first secret' >&2\nprintf '20 text/plain\\r\\nbody'\n"
                                       "printf 'last \\033[31m' >&2"))
        self.assertEqual((answer.meta, answer.body), ("text/plain", b"body"))
        name = "standard_error_is_for_the_log_alone"
        self.assert_logged(rf'info +worker \d: cgi "/cgi-bin/{name}"\[\d+\] says: "first secret"')
        self.assert_logged(rf'info +worker \d: cgi "/cgi-bin/{name}"\[\d+\] says: "last ')
        self.assertNotIn("\x1b", self.server.log())

    def test_much_standard_error_is_counted(self):
        answer = self.run_script(shell("head -c 100000 /dev/zero | tr '\\0' 'e' >&2\n"
                                       "printf '20 text/plain\\r\\nbody'"))
        self.assertEqual(answer.body, b"body")
        self.assert_logged(r'much_standard_error_is_counted"\[\d+\] says 9\d{4} bytes more')

    def test_a_header_of_single_bytes(self):
        answer = self.run_script(PYTHON + "import os\nfor byte in b'20 text/plain\\r\\nbody':\n"
                                 "    os.write(1, bytes([byte]))\n")
        self.assertEqual((answer.meta, answer.body), ("text/plain", b"body"))

    def test_a_header_whose_end_comes_in_two_parts(self):
        answer = self.run_script(PYTHON + "import os, time\nos.write(1, b'20 text/plain\\r')\n"
                                 "time.sleep(0.05)\nos.write(1, b'\\nbody')\n")
        self.assertEqual((answer.meta, answer.body), ("text/plain", b"body"))

    def test_many_lines_arrive_exactly(self):
        answer = self.run_script(PYTHON + "print('20 text/plain', end='\\r\\n')\n"
                                 "for number in range(300000):\n    print('line', number)\n")
        self.assertEqual(answer.body, b"".join(b"line %d\n" % number for number in range(300000)))

    def test_one_program_may_answer_for_a_whole_mount(self):
        for path, info in (("/one", ""), ("/one/", "/"), ("/one/any/thing?q", "/any/thing")):
            answer = self.ask(path)
            self.assertEqual((answer.status, answer.body.decode()), (20, f"-x\na b\n{info}\n"), path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
