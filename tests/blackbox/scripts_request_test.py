#!/usr/bin/env python3
"""What scripts are given: which one runs, its variables, its surroundings, its input. The program is
the one of $EGALAXYD_BIN_DIR."""
import contextlib
import hashlib
import io
import json
import os
import pathlib
import ssl
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import spartan_client  # noqa: E402
from capsule import eventually, fingerprint, make_certificate  # noqa: E402
from script_case import ENV, PYTHON, ScriptCase, mount, shell  # noqa: E402
from titan_client import Conversation, exchange  # noqa: E402

STYLES = ("jetforce", "gmid", "molly-brown", "gmcapsule")
SITES = ("[sites.localhost]\naliases = [\"other.example\"]\n"
         + mount("/cgi-bin", 'pass = ["TZ"]\n[sites.localhost."/cgi-bin".env]\nPAGE = "green"')
         + "".join(mount(f"/{style}", f'style = "{style}"') for style in STYLES))


def key_fingerprint(certificate):
    key = subprocess.run(["openssl", "pkey", "-in", certificate[1], "-pubout", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    return hashlib.sha256(key).hexdigest()


def signed_with(folder, name, subject, key):
    """A certificate of that key."""
    certificate = str(folder / f"{name}.crt")
    subprocess.run(["openssl", "req", "-x509", "-new", "-key", key, "-out", certificate, "-days", "9",
                    "-subj", subject], check=True, capture_output=True)
    return certificate, key


class Paths(ScriptCase):
    SITES = SITES

    @classmethod
    def prepare(cls):
        for name in ("env", "folder/index.cgi", "folder/deep/env"):
            cls.script(name, ENV)

    def assert_path_info(self, path, expected):
        variables = self.variables(path)
        self.assertEqual((variables["SCRIPT_NAME"], variables["PATH_INFO"]),
                         ("/cgi-bin/env", expected), path)

    def test_a_script_without_more_has_empty_variables(self):
        self.assert_path_info("/cgi-bin/env", "")
        self.assertEqual(self.variables("/cgi-bin/env")["QUERY_STRING"], "")

    def test_what_follows_the_script_is_path_info(self):
        for more in ("/", "/extra/info", "/extra/info/"):
            self.assert_path_info("/cgi-bin/env" + more, more)

    def test_doubled_slashes_are_one(self):
        self.assert_path_info("//cgi-bin//env//extra//info//", "/extra/info/")

    def test_encoded_slashes_behind_the_script_stay_as_many_as_they_are(self):
        self.assert_path_info("/cgi-bin/env/https%3A%2F%2Fe.org/x", "/https://e.org/x")

    def test_path_info_is_decoded_once(self):
        self.assert_path_info("/cgi-bin/env/%2541", "/%41")

    def test_nothing_leads_out_of_the_mount(self):
        for path in ("/env/a%2F..%2F..%2Fetc", "/env/%2e%2e/%2e%2e/x", "/env/a%2F.%2Fb", "/env/%00",
                     "/env/%0a", "/env/%AE", "/%2e%2e%2fetc%2fpasswd", "/folder%2Fdeep%2Fenv"):
            self.assert_refused(self.ask("/cgi-bin" + path), 51)
        self.assertEqual(self.running(), [])

    def test_scripts_may_lie_deeper(self):
        variables = self.variables("/cgi-bin/folder/deep/env/x")
        self.assertEqual((variables["SCRIPT_NAME"], variables["PATH_INFO"]),
                         ("/cgi-bin/folder/deep/env", "/x"))

    def test_a_query_is_not_decoded(self):
        for query in ("hello%20world", "%2541", "a+b", "a=b&c=%3F?"):
            self.assertEqual(self.variables("/cgi-bin/env?" + query)["QUERY_STRING"], query)

    def test_a_decoded_query_is_the_search_string(self):
        self.assertEqual(self.variables("/cgi-bin/env?%C3%A4%20b")["GEMINI_SEARCH_STRING"], "ä b")
        self.assertNotIn("GEMINI_SEARCH_STRING", self.variables("/cgi-bin/env?a=b"))

    def test_an_empty_query_differs_from_none_in_the_url(self):
        self.assertTrue(self.variables("/cgi-bin/env?")["GEMINI_URL"].endswith("/env?"))
        self.assertTrue(self.variables("/cgi-bin/env")["GEMINI_URL"].endswith("/env"))
        self.assertEqual(self.variables("/cgi-bin/env?")["QUERY_STRING"], "")
        self.assertEqual(self.variables("/gmcapsule/env?")["QUERY_STRING"], "")
        self.assertNotIn("QUERY_STRING", self.variables("/gmcapsule/env"))

    def test_a_query_is_no_argument(self):
        for query in ("a+b", "-s", "--help", "-"):
            told = self.told("/cgi-bin/env?" + query)
            self.assertEqual(told["arguments"], [str(self.cgi / "env")])

    def test_a_file_that_is_not_executable_is_not_there(self):
        self.script("plain", ENV, 0o644)
        self.assert_refused(self.ask("/cgi-bin/plain"), 51)
        self.assert_logged('cgi "/cgi-bin/plain": it is not executable')

    def test_a_hidden_file_is_not_there(self):
        for name in (".env", ".folder/env"):
            self.script(name, ENV)
            self.assert_refused(self.ask("/cgi-bin/" + name), 51)

    def test_a_link_out_of_the_root_leads_nowhere(self):
        outside = self.folder.path / "outside"
        outside.write_text(ENV)
        outside.chmod(0o755)
        (self.cgi / "leaves").symlink_to(outside)
        (self.cgi / "climbs").symlink_to("../outside")
        for name in ("leaves", "climbs", "nothing"):
            self.assert_refused(self.ask("/cgi-bin/" + name), 51)

    def test_a_link_within_the_root_is_followed(self):
        (self.cgi / "relative").symlink_to("folder/deep/env")
        (self.cgi / "absolute").symlink_to(self.cgi / "env")
        for name in ("relative", "absolute"):
            self.assertEqual(self.variables("/cgi-bin/" + name)["SCRIPT_NAME"], "/cgi-bin/" + name)

    def test_a_folder_is_its_index(self):
        answer = self.ask("/cgi-bin/folder?a%20b")
        self.assertEqual(answer.status, 31)
        self.assertTrue(answer.meta.endswith("/cgi-bin/folder/?a%20b"), answer)
        variables = self.variables("/cgi-bin/folder/?a%20b")
        self.assertEqual((variables["SCRIPT_NAME"], variables["PATH_INFO"], variables["QUERY_STRING"]),
                         ("/cgi-bin/folder/index.cgi", "", "a%20b"))
        self.assert_refused(self.ask("/cgi-bin/folder/deep/"), 51)
        self.assert_refused(self.ask("/cgi-bin/"), 51)

    def test_the_root_of_the_mount_is_a_folder_too(self):
        self.assertEqual(self.ask("/cgi-bin").status, 31)
        self.script("index.gmi", ENV)
        self.addCleanup((self.cgi / "index.gmi").unlink)
        self.assertEqual(self.variables("/cgi-bin/")["SCRIPT_NAME"], "/cgi-bin/index.gmi")

    def test_molly_browns_style_has_the_path_without_slash_and_the_programs_own(self):
        variables = self.variables("/molly-brown/env/a/b/")
        self.assertEqual((variables["PATH_INFO"], variables["SCRIPT_PATH"]),
                         ("a/b/", str(self.cgi / "env")))

    def test_an_alias_is_the_servers_name(self):
        answer = exchange(self.server.port, f"gemini://other.example:{self.server.port}/cgi-bin/env",
                          sni="other.example")
        self.assertIn(b'"SERVER_NAME": "other.example"', answer.body)


class Identity(ScriptCase):
    SITES = SITES + """
[sites.localhost."/up"]
module = "directory"
root = "marks"
[sites.localhost."/up".upload]
fingerprints = ["*"]
"""

    @classmethod
    def prepare(cls):
        cls.script("env", ENV)
        cls.alice = make_certificate(cls.folder.path, "Alice")
        cls.named = signed_with(cls.folder.path, "named", "/CN=Ann Other/O=Wonder land", cls.alice[1])

    def test_four_styles_spell_a_certificate_in_their_ways(self):
        digest, key = fingerprint(self.named), key_fingerprint(self.named)
        told = {style: self.variables(f"/{style}/env", certificate=self.named) for style in STYLES}
        for style, spelled in (("jetforce", lambda text: "SHA256:" + text.upper()),
                               ("gmid", lambda text: "SHA256:" + text),
                               ("molly-brown", str), ("gmcapsule", str)):
            self.assertEqual((told[style]["TLS_CLIENT_HASH"], told[style]["TLS_CLIENT_KEY_HASH"]),
                             (spelled(digest), spelled(key)), style)
            self.assertEqual(told[style]["REMOTE_IDENT"], f"{digest};{key}")
            self.assertEqual(told[style]["TLS_CLIENT_SUBJECT_CN"], "Ann Other")
        self.assertEqual([told[style]["AUTH_TYPE"] for style in STYLES],
                         ["CERTIFICATE", "CERTIFICATE", "Certificate", "Certificate"])
        self.assertEqual([told[style].get("REMOTE_USER") for style in STYLES],
                         ["Ann Other", "/CN=Ann Other/O=Wonder land", None, "Ann Other"])
        self.assertEqual([told[style]["TLS_CLIENT_SUBJECT"] for style in STYLES],
                         ["CN=Ann Other,O=Wonder land", "/CN=Ann Other/O=Wonder land"] * 2)

    def test_without_a_certificate_nothing_is_said_of_one(self):
        for style, auth, user in zip(STYLES, (None, "", None, ""), (None, None, None, "")):
            variables = self.variables(f"/{style}/env")
            self.assertEqual((variables["TLS_VERSION"], variables["TLS_CIPHER"][:4]),
                             ("TLSv1.3", "TLS_"))
            self.assertEqual([name for name in variables if name.startswith(("TLS_CLIENT", "EGALAXYD"))],
                             [])
            self.assertEqual((variables.get("AUTH_TYPE"), variables.get("REMOTE_USER")), (auth, user))

    def test_an_old_tls_is_told(self):
        variables = self.variables("/cgi-bin/env", version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(variables["TLS_VERSION"], "TLSv1.2")

    def test_a_certificate_without_common_name_has_an_empty_one(self):
        certificate = signed_with(self.folder.path, "nameless", "/O=Nobody", self.alice[1])
        variables = self.variables("/cgi-bin/env", certificate=certificate)
        self.assertEqual((variables["REMOTE_USER"], variables["TLS_CLIENT_SUBJECT"]),
                         ("", "O=Nobody"))

    def test_a_common_name_with_an_end_of_line_has_none(self):
        certificate = signed_with(self.folder.path, "lines", "/CN=Two\nLines", self.alice[1])
        variables = self.variables("/cgi-bin/env", certificate=certificate)
        self.assertEqual(variables["REMOTE_USER"], "Two?Lines")

    def test_a_long_common_name_is_cut(self):
        certificate = str(self.folder.path / "long.crt")
        template = self.folder.path / "long.template"
        template.write_text('cn = "' + "ä" * 1500 + '"\nexpiration_days = 9\n')
        subprocess.run(["certtool", "--generate-self-signed", "--load-privkey", self.alice[1],
                        "--template", template, "--outfile", certificate], check=True,
                       capture_output=True)
        variables = self.variables("/cgi-bin/env", certificate=(certificate, self.alice[1]))
        self.assertEqual(variables["REMOTE_USER"], "ä" * 512)

    def test_a_user_stays_the_same_when_the_certificate_is_renewed_with_its_key(self):
        stored = self.server.put("/up/page", b"page", certificate=self.alice)
        self.assertEqual(stored.status, 30, stored)
        renewed = signed_with(self.folder.path, "renewed", "/CN=Alice", self.alice[1])
        self.assertNotEqual(fingerprint(renewed), fingerprint(self.alice))
        old, new = (self.variables("/cgi-bin/env", certificate=certificate)
                    for certificate in (self.alice, renewed))
        for name in ("EGALAXYD_USER", "TLS_CLIENT_KEY_HASH"):
            self.assertEqual(old[name], new[name])
        self.assertNotEqual(old["TLS_CLIENT_HASH"], new["TLS_CLIENT_HASH"])
        self.assertEqual(old["EGALAXYD_USER"], fingerprint(self.alice))

    def test_variables_of_the_configuration_come_with_and_without_a_certificate(self):
        for certificate in (None, self.alice):
            self.assertEqual(self.variables("/cgi-bin/env", certificate=certificate)["PAGE"], "green")


class Surroundings(ScriptCase):
    SITES = SITES
    SETTINGS = {"log.client_ip": '"full"'}
    ENVIRONMENT = {"SECRET": "1", "LD_LIBRARY_PATH": "/nowhere", "TZ": "Europe/Prague"}

    @classmethod
    def prepare(cls):
        cls.script("env", ENV)
        cls.script("deep/env", ENV)

    def say(self, command):
        """What that prints, in a script."""
        name = self.id().rpartition(".")[2]
        self.script(name, shell("printf '20 text/plain\\r\\n'\n" + command))
        answer = self.ask("/cgi-bin/" + name)
        self.assertEqual((answer.status, answer.end), (20, "close_notify"), answer)
        return answer.body.decode()

    def test_the_servers_environment_stays_its_own(self):
        variables = self.variables("/cgi-bin/env")
        self.assertEqual({"SECRET", "LD_LIBRARY_PATH"} & set(variables), set())
        self.assertEqual(variables["TZ"], "Europe/Prague")  # it is in `pass`
        self.assertNotIn("TZ", self.variables("/jetforce/env"))
        self.assertEqual((variables["PATH"], variables["LANG"]),
                         ("/usr/local/bin:/usr/bin:/bin", "C.UTF-8"))
        self.assertEqual(variables["USER"], variables["LOGNAME"])

    def test_it_has_three_descriptors(self):
        script = str(self.cgi / self.id().rpartition(".")[2])
        links = self.say("for link in /proc/$$/fd/*; do readlink $link; done").splitlines()
        links.remove(script)  # the shell keeps it open
        self.assertEqual([link.partition(":")[0] for link in links], ["/dev/null", "pipe", "pipe"])

    def test_it_has_a_session_of_its_own_and_no_signal_is_blocked(self):
        status = self.say("grep -E '^(Sig(Ign|Blk)|NoNewPrivs)' /proc/self/status\n"
                          "cut -d ' ' -f 1,5,6 /proc/$$/stat\numask\ncat /proc/$$/oom_score_adj\npwd")
        lines = status.splitlines()
        fields = dict(line.split(":\t") for line in lines[:3])
        self.assertEqual((int(fields["SigBlk"], 16), int(fields["SigIgn"], 16), fields["NoNewPrivs"]),
                         (0, 0, "1"))
        self.assertEqual(len(set(lines[3].split())), 1, "process, group and session")
        self.assertEqual(lines[4:], ["0022", "500", str(self.cgi)])

    def test_it_begins_in_its_folder(self):
        self.assertEqual(self.told("/cgi-bin/deep/env")["folder"], str(self.cgi / "deep"))

    def test_its_streams_can_be_opened_anew(self):
        self.assertEqual(self.say("echo out > /dev/stdout\necho err > /dev/stderr\ncat /dev/stdin"),
                         "out\n")
        self.assert_logged(r'can_be_opened_anew"\[\d+\] says: "err"')

    def test_without_a_body_its_input_is_at_its_end(self):
        self.assertEqual(self.say("wc -c"), "0\n")

    def test_it_is_not_root(self):
        self.assertNotEqual(self.say("id -u"), "0\n")

    def test_the_clients_address_is_told_plainly(self):
        variables = self.variables("/cgi-bin/env")
        self.assertEqual((variables["REMOTE_ADDR"], variables["REMOTE_HOST"]), ("127.0.0.1",) * 2)
        self.assertRegex(self.variables("/gmcapsule/env")["REMOTE_ADDR"], r"^127\.0\.0\.1:\d+$")


class Proxied(ScriptCase):
    SETTINGS = {"listen.proxy_protocol_from": '["127.0.0.1/32"]'}

    def test_the_address_is_that_which_the_proxy_names(self):
        self.script("env", ENV)
        for header, address in ((b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 1965\r\n", "192.0.2.1"),
                                (b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 1965\r\n", "2001:db8::7")):
            variables = self.variables("/cgi-bin/env", before=header)
            self.assertEqual((variables["REMOTE_ADDR"], variables["REMOTE_PORT"]), (address, "4711"))


UPLOADS = mount("/cgi-bin") + "".join(
    mount(path, f'{more}\n[sites.localhost."{path}".upload]\n{upload}\n')
    for path, more, upload in (
        ("/open", "", 'anyone = true\nmax_size = "200KiB"\nmime = ["text/*", "image/*"]'),
        ("/spartan", "", 'anyone = true\nover = ["spartan"]'),
        ("/capsule", 'style = "gmcapsule"', 'anyone = true\nname_suffix = ",titan"'),
        ("/full", "", 'anyone = true\nmin_free = "1000000GiB"'),
        ("/decides", "", 'decides = "script"')))
READS = PYTHON + """
import hashlib, json, os, sys
body = sys.stdin.buffer.read()
os.lseek(0, 0, os.SEEK_SET)
sys.stdout.write("20 application/json\\r\\n" + json.dumps({
    "hash": hashlib.sha256(body).hexdigest(), "again": len(sys.stdin.buffer.read()),
    "reopened": len(open("/dev/stdin", "rb").read()), "variables": dict(os.environ)}))
"""


class Bodies(ScriptCase):
    SITES = UPLOADS
    SETTINGS = {"listen.spartan": '["127.0.0.1:0"]'}

    @classmethod
    def prepare(cls):
        cls.script("env", ENV)
        cls.script("reads", READS)
        cls.script("env,titan", shell("printf '20 text/plain\\r\\n%s' \"$0\""))

    def put(self, path, body, parameters="", **options):
        return self.server.put(path, body, parameters, **options)

    def put_told(self, path, body, parameters="", **options):
        answer = self.put(path, body, parameters, **options)
        self.assertEqual((answer.status, answer.end), (20, "close_notify"), answer)
        return json.loads(answer.body)

    def assert_spool_is_empty(self):
        spool = self.folder.path / "state" / "spool"
        self.assertTrue(eventually(lambda: not any(spool.iterdir())), "files in the spool")

    def spartan(self, path, data):
        with contextlib.redirect_stderr(io.StringIO()):
            return spartan_client.request("localhost", self.server.spartan_port, path, data, 30)

    def test_an_upload_arrives_exactly(self):
        body = os.urandom(100 * 1024)
        told = self.put_told("/open/reads/x", body, ";mime=image/png;token=a%20b")
        self.assertEqual((told["hash"], told["again"], told["reopened"]),
                         (hashlib.sha256(body).hexdigest(), len(body), len(body)))
        variables = told["variables"]
        for name, value in (("CONTENT_LENGTH", str(len(body))), ("CONTENT_TYPE", "image/png"),
                            ("TITAN_TOKEN", "a b"), ("SERVER_PROTOCOL", "TITAN"),
                            ("REQUEST_METHOD", "POST"), ("PATH_INFO", "/x"),
                            ("TITAN_URL", self.server.url("/open/reads/x")),
                            ("GEMINI_URL", self.server.url("/open/reads/x"))):
            self.assertEqual(variables[name], value, name)
        self.assert_spool_is_empty()

    def test_a_script_starts_after_the_last_byte(self):
        mark = self.mark("started")
        self.script("starts", shell(f"touch {mark}\nprintf '20 text/plain\\r\\n'"))
        pieces = iter((b"abc", b"def"))

        def slowly():
            yield next(pieces)
            self.assertTrue(eventually(self._spooled))
            self.assertFalse(mark.exists())
            yield next(pieces)

        answer = exchange(self.server.port, self.server.url("/open/starts;size=6"), slowly(), "apart")
        self.assertEqual(answer.status, 20)
        self.assertTrue(mark.exists())

    def _spooled(self):
        return [file for file in (self.folder.path / "state" / "spool").iterdir() if file.stat().st_size]

    def test_a_body_that_breaks_off_starts_nothing(self):
        mark = self.mark("started")
        self.script("breaks", shell(f"touch {mark}\nprintf '20 text/plain\\r\\n'"))
        for finish in ("reset", "fin", "close_notify"):
            exchange(self.server.port, self.server.url("/open/breaks;size=10"), b"abc", finish=finish)
        self.assert_spool_is_empty()
        self.assertEqual((mark.exists(), self.running()), (False, []))

    def test_without_room_a_body_is_refused_and_nothing_started(self):
        answer = self.put("/full/env", b"x" * 1000)
        self.assertEqual((answer.status, answer.meta), (40, "No room for the upload"))
        self.assert_logged("error.* a body for a script was not kept")
        self.assert_spool_is_empty()

    def test_an_upload_where_none_is_taken_is_refused_before_its_body(self):
        answer = exchange(self.server.port, self.server.url("/cgi-bin/env;size=10"), leave=True)
        self.assert_refused(answer, 50)

    def test_an_upload_that_is_too_big_is_refused_before_its_body(self):
        answer = exchange(self.server.port, self.server.url("/open/env;size=204801"), leave=True)
        self.assert_refused(answer, 50, "The upload is too large: at most 200KiB are accepted here")

    def test_a_script_that_does_not_read_its_input_answers(self):
        self.script("deaf", shell("printf '20 text/plain\\r\\nheard nothing'"))
        self.assertEqual(self.put("/open/deaf", bytes(150 * 1024)).body, b"heard nothing")

    def test_an_empty_upload_is_an_empty_body(self):
        told = self.put_told("/open/env", b"")
        self.assertEqual((told["body"], told["variables"]["CONTENT_LENGTH"],
                          told["variables"]["REQUEST_METHOD"]), ("", "0", "POST"))

    def test_an_edit_is_geminis(self):
        answer = exchange(self.server.port, self.server.url("/open/env;edit"))
        self.assertEqual(answer.status, 20, answer)
        variables = json.loads(answer.body)["variables"]
        self.assertEqual((variables["TITAN_EDIT"], variables["SERVER_PROTOCOL"],
                          variables["GEMINI_URL"], variables["REQUEST_METHOD"]),
                         ("1", "GEMINI", self.server.url("/open/env", "gemini"), "GET"))

    def test_a_suffix_names_the_script_for_uploads(self):
        self.assertEqual(self.put("/capsule/env", b"x").body, str(self.cgi / "env,titan").encode())
        self.assertEqual(self.told("/capsule/env")["arguments"], [str(self.cgi / "env")])
        self.assertEqual(exchange(self.server.port, self.server.url("/capsule/env;edit")).status, 20)

    def test_the_token_is_decoded_but_in_gmcapsules_style(self):
        self.script("token,titan", ENV)
        variables = self.put_told("/capsule/token", b"x", ";token=a%20b")["variables"]
        self.assertEqual((variables["TITAN_TOKEN"], variables["CONTENT_TYPE"]), ("a%20b", ""))
        variables = self.put_told("/open/env", b"x")["variables"]
        self.assertEqual((variables["TITAN_TOKEN"], variables["CONTENT_TYPE"]), ("", "text/gemini"))

    def test_a_script_may_decide_who_uploads(self):
        told = self.put_told("/decides/env", b"x", ";token=mine")
        self.assertEqual((told["variables"]["TITAN_TOKEN"], told["body"]), ("mine", "x"))

    def test_a_client_that_leaves_after_its_body_does_not_end_the_script(self):
        began, go, done = (self.mark(name) for name in ("began", "go", "done"))
        self.script("works", shell(
            f"echo $$ > {began}\nwhile ! test -e {go}; do sleep 0.02; done\n"
            f"printf '20 text/plain\\r\\n'\nhead -c 200000 /dev/zero\nwc -c > {done}"))
        body = bytes(70 * 1024)
        talk = self.talk_titan("/open/works", body)
        pid = self.pid_in(began)
        talk.reset()
        self.assert_logged(r'"titan://[^"]*/open/works.*ended="client left"')
        go.touch()
        self.assertTrue(eventually(lambda: done.exists() and done.read_text()))
        self.assertEqual(int(done.read_text()), len(body))
        self.assert_ends(pid)
        self.assert_spool_is_empty()

    def talk_titan(self, path, body):
        talk = Conversation(self.server.port)
        self.addCleanup(talk.socket.close)
        talk.say(f"{self.server.url(path)};size={len(body)}\r\n".encode() + body)
        return talk

    def test_spartans_input_is_body_and_query(self):
        status, _, body = self.spartan("/cgi-bin/env", b"hello world")
        told = json.loads(body)
        variables = told["variables"]
        self.assertEqual((status, told["body"], variables["QUERY_STRING"], variables["CONTENT_LENGTH"]),
                         (2, "hello world", "hello%20world", "11"))
        self.assertEqual((variables["SERVER_PROTOCOL"], variables["SERVER_PORT"]),
                         ("SPARTAN", str(self.server.spartan_port)))
        self.assertEqual([name for name in variables if name.startswith("TLS_")], [])

    def test_spartans_long_or_binary_block_needs_a_right(self):
        self.assertEqual(self.spartan("/cgi-bin/env", b"x" * 1024)[0], 2)
        for data in (b"x" * 1025, b"x" * 2048, b"\0\1\2", b"\xff"):
            self.assertEqual(self.spartan("/cgi-bin/env", data)[0], 4)
        status, _, body = self.spartan("/spartan/env", b"\0\1" * 1024)
        told = json.loads(body)
        self.assertEqual((status, told["variables"]["CONTENT_LENGTH"], len(told["body"])),
                         (2, "2048", 2048))

    def test_a_prompt_over_spartan_is_a_page_with_a_form(self):
        self.script("prompts", shell("printf '10 Your name?\\r\\n'"))
        status, meta, body = self.spartan("/cgi-bin/prompts", b"")
        self.assertEqual((status, meta.partition(";")[0]), (2, "text/gemini"))
        self.assertIn(b"=: /cgi-bin/prompts", body)


if __name__ == "__main__":
    unittest.main(verbosity=2)
