#!/usr/bin/env python3
"""Titan on the wire: request lines, media types, early refusals, the accounting of bytes, answers.
The programs are those of $EGALAXYD_BIN_DIR."""
import itertools
import os
import pathlib
import ssl
import sys
import unittest
import urllib.parse
from concurrent import futures

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import eventually  # noqa: E402
from titan_case import MIB, TOKENS, TitanCase  # noqa: E402
from titan_client import (Conversation, exchange, gmid_line, lagrange_line,  # noqa: E402
                          zeros)


class Rules(TitanCase):
    # T1 and T13: the same place, whichever way it is written.

    def test_scheme_and_host_are_case_insensitive(self):
        answer = exchange(self.server.port,
                          f"TITAN://LocalHost:{self.server.port}/open/case.gmi;size=1", b"a")
        self.assert_stored(answer, "/open/case.gmi", b"a")

    def test_the_default_port_named_or_not_is_ours(self):
        for number, authority in enumerate(("localhost", "localhost:1965")):
            answer = exchange(self.server.port, f"titan://{authority}/open/port{number};size=1",
                              b"a")
            self.assertEqual(answer.status, 30, answer)
            self.assertEqual(self.server.get(f"/open/port{number}").body, b"a")

    def test_a_titan_socket_takes_uploads_and_sends_to_a_page_that_can_be_read(self):
        answer = exchange(self.server.titan_port,
                          f"titan://localhost:{self.server.titan_port}/open/own.gmi;size=3", b"abc")
        self.assertEqual(answer.status, 30, answer)
        target = urllib.parse.urlsplit(answer.meta)
        page = exchange(target.port or 1965, answer.meta)
        self.assertEqual((page.status, page.body), (20, b"abc"))

    def test_over_tls_1_2(self):
        answer = self.ask("/open/tls12", ";size=3", b"abc", records=1,
                          version=ssl.TLSVersion.TLSv1_2)
        self.assert_stored(answer, "/open/tls12", b"abc")

    # T2: parameters.

    def test_parameters_in_every_order(self):
        parameters = (";size=3", ";mime=text/plain", f";token={TOKENS[0]}")
        for number, order in enumerate(itertools.permutations(parameters)):
            path = f"/tokens/order{number}"
            self.assert_stored(self.ask(path, "".join(order), b"abc"), path, b"abc")
            self.assertEqual(self.records(path)[0]["mime"], "text/plain")

    def test_lagrange(self):
        for number, mime in enumerate(("text/plain", "text/gemini", "text%2Fgemini",
                                       "text/gemini; charset=utf-8")):
            path = f"/tokens/lagrange{number}.gmi"
            line = lagrange_line(self.server.url(path), 5, mime, TOKENS[1])
            self.assert_stored(exchange(self.server.port, line, b"# Hi\n"), path, b"# Hi\n")

    def test_gmid(self):
        for number, extra in enumerate(({}, {"mime": "text/gemini"}, {"mime": "text/plain"})):
            path = f"/tokens/gmid{number}.gmi"
            line = gmid_line(self.server.url(path), 5, TOKENS[0], **extra)
            self.assert_stored(exchange(self.server.port, line, b"# Hi\n"), path, b"# Hi\n")

    def test_a_query_is_no_parameter(self):
        answer = self.ask("/open/query", ";size=3?user=al", b"abc")
        self.assertEqual(answer.meta.partition("?")[0], self.server.url("/open/query", "gemini"))
        self.assertEqual(self.file("/open/query").read_bytes(), b"abc")

    def test_no_path_is_the_root(self):
        self.assert_refused(exchange(self.server.port,
                                     f"titan://localhost:{self.server.port};size=3", b"abc"), 50)

    # T3: size.

    def test_bad_sizes(self):
        bad = ("", ";mime=text/plain", ";size=", ";size=-1", ";size=+3", ";size=1.5", ";size=abc",
               ";size=0x3", ";size= 3", ";size=3%20", ";size=99999999999999999999",
               ";size=18446744073709551619", ";size=1;size=2", ";size=3;size=3", ";size")
        for parameters in bad:
            with self.subTest(parameters):
                self.assert_refused(self.ask("/open/badsize", parameters, b"abc"), 59)
                self.assert_absent("/open/badsize")

    def test_zeros_before_the_size(self):
        self.assert_stored(self.ask("/open/zeros", ";size=007", b"abcdefg"), "/open/zeros",
                           b"abcdefg")

    # T4: media types.

    def test_the_default_media_type_is_gemtext(self):
        self.assert_stored(self.server.put("/gemtext/a.gmi", b"abc"), "/gemtext/a.gmi", b"abc")
        self.assertEqual(self.records("/gemtext/a.gmi")[0]["mime"], "text/gemini")

    def test_plain_text_goes_where_gemtext_does(self):
        self.assert_stored(self.server.put("/gemtext/b.gmi", b"abc", ";mime=text/plain"),
                           "/gemtext/b.gmi", b"abc")

    def test_encoded_media_types_and_their_parameters(self):
        for number, mime in enumerate(("text%2Fplain", "text/gemini%3Bcharset=utf-8",
                                       "text/gemini%3B%20charset%3Dutf-8", "TEXT/Gemini",
                                       "text/gemini;charset=utf-8", "text/gemini; charset=utf-8")):
            path = f"/gemtext/mime{number}"
            with self.subTest(mime):
                self.assert_stored(self.server.put(path, b"abc", f";mime={mime}"), path, b"abc")

    def test_types_that_are_not_allowed(self):
        for path, mime in (("/gemtext/c", "text/html"), ("/gemtext/c", "image/png"),
                           ("/open/c", "application/octet-stream"), ("/open/c", "text"),
                           ("/open/c", "textual/plain"),
                           ("/pictures/c", "text/plain"), ("/pictures/c", "text/gemini")):
            with self.subTest(path=path, mime=mime):
                self.assert_refused(self.server.put(path, b"abc", f";mime={mime}"), 50)
                self.assert_absent(path)

    def test_a_type_of_the_list(self):
        self.assert_stored(self.server.put("/pictures/d.png", b"\x89PNG", ";mime=image/png"),
                           "/pictures/d.png", b"\x89PNG")

    # T6: what else stands behind semicolons.

    def test_unknown_parameters_are_ignored(self):
        for number, extra in enumerate((";color=red", ";b", ";=x", ";x=", ";a=1;a=2", ";")):
            path = f"/open/unknown{number}"
            with self.subTest(extra):
                self.assert_stored(self.ask(path, f"{extra};size=3", b"abc"), path, b"abc")

    def test_a_semicolon_in_an_earlier_segment_is_a_character(self):
        self.folder.make("open/a;b")
        answer = self.ask("/open/a;b/c", ";size=3", b"abc")
        self.assertEqual(answer.status, 30, answer)
        self.assertEqual(self.file("/open/a;b/c").read_bytes(), b"abc")
        target = urllib.parse.urlsplit(answer.meta).path
        self.assertEqual(self.server.get(target).body, b"abc")

    def test_an_encoded_semicolon_is_a_character(self):
        answer = self.ask("/open/semi%3Bcolon", ";size=3", b"abc")
        self.assertEqual(answer.status, 30, answer)
        self.assertEqual(self.file("/open/semi;colon").read_bytes(), b"abc")
        target = urllib.parse.urlsplit(answer.meta).path
        self.assertEqual(self.server.get(target).body, b"abc")
        self.assertEqual(self.ask(target, ";size=4", b"next").status, 30)
        self.assertEqual(self.file("/open/semi;colon").read_bytes(), b"next")

    # T7: the line.

    def test_1024_bytes_of_url_and_no_more(self):
        start = self.line("/open/long", ";size=3;filler=")
        self.assert_stored(exchange(self.server.port, start + "x" * (1024 - len(start)), b"abc"),
                           "/open/long", b"abc")
        self.assert_refused(exchange(self.server.port, start + "x" * (1025 - len(start)), b"abc"),
                            59)

    def test_malformed_urls(self):
        port = self.server.port
        for line in (f"titan://al@localhost:{port}/open/m;size=3",
                     f"titan://@localhost:{port}/open/m;size=3",
                     f"titan://localhost:{port}/open/m;size=3#top",
                     f"titan://localhost:{port}/open/m#top;size=3",
                     f"titan://localhost:{port}/open/%zz;size=3",
                     f"titan://localhost:{port}/open/\udcff;size=3",
                     f"titan://localhost:{port}/open/\x01;size=3",
                     "titan:/open/m;size=3", "titan:///open/m;size=3", "titan:"):
            with self.subTest(line):
                self.assert_refused(exchange(port, line, b"abc"), 59)
                self.assert_absent("/open/m")

    def test_hosts_and_ports_that_are_not_ours(self):
        port = self.server.port
        for line, sni in ((f"titan://example.org:{port}/open/m;size=3", "localhost"),
                          ("titan://localhost:1/open/m;size=3", "localhost"),
                          (f"titan://localhost:{port}/open/m;size=3", "example.org")):
            with self.subTest(line=line, sni=sni):
                self.assert_refused(exchange(port, line, b"abc", sni=sni), 53)
                self.assert_absent("/open/m")

    # T8 and T15: decided before the body.

    REFUSALS = (
        ("/root-is-read-only", "", {}, 50), ("/spartan/x", "", {}, 50),
        ("/small/x", "", {}, 50), ("/open/x", ";mime=image/png", {}, 50),
        ("/tokens/x", "", {}, 61), ("/tokens/x", ";token=wrong-4c1d", {}, 61),
        ("/either/x", ";token=wrong-4c1d", {}, 61), ("/either/x", "", {}, 60),
        ("/listed/x", "", {}, 60), ("/certified/x", "", {}, 60), ("/gate/x", "", {}, 60),
        ("/listed/x", "", {"certificate": "stranger"}, 61),
        ("/certified/x", "", {"certificate": "expired"}, 62),
        ("/quota/x", "", {"certificate": "stranger"}, None))

    def each_refusal(self, **how):
        """All of them, for 5 MB that are sent in this way; without one the body is withheld. Side by
        side: behind a refusal the server waits a while for the body that was announced."""
        def refusal(case):
            path, parameters, options, _ = case
            who = {key: getattr(self, name) for key, name in options.items()}
            return self.ask(path, f";size=5000000{parameters}",
                            zeros(5_000_000) if how else b"", **who, **how)
        with futures.ThreadPoolExecutor(len(self.REFUSALS)) as pool:
            answers = list(pool.map(refusal, self.REFUSALS))
        for (path, parameters, options, status), answer in zip(self.REFUSALS, answers):
            with self.subTest(path=path, parameters=parameters, options=options):
                self.assert_refused(answer, *((status,) if status else range(40, 60)))
                self.assert_absent(path)
                self.assertEqual(answer.sent, 5_000_000 if how else 0)

    def test_refused_without_a_byte_of_the_body(self):
        self.each_refusal()

    def test_an_early_refusal_reaches_a_client_that_streams_without_looking(self):
        self.each_refusal(records="apart")

    def test_an_early_refusal_reaches_a_client_that_looks_while_it_sends(self):
        self.each_refusal(records="apart", read="while")

    def test_too_big_names_the_limit(self):
        answer = self.ask("/small/big", ";size=1025", b"", leave=True)
        self.assert_refused(answer, 50)
        self.assertRegex(answer.meta, r"\b(1024 bytes|1 ?KiB)\b")
        answer = self.ask("/open/big", f";size={10 * MIB + 1}", b"", leave=True)
        self.assert_refused(answer, 50)
        self.assertRegex(answer.meta, r"\b(10485760 bytes|10 ?MiB)\b")

    def test_exactly_the_limit(self):
        self.assert_stored(self.server.put("/small/exact", b"x" * 1024), "/small/exact",
                           b"x" * 1024)

    def test_a_huge_size_allocates_nothing(self):
        answer = self.ask("/open/huge", f";size={2**63 - 1}", b"", leave=True)
        self.assert_refused(answer, 50)

    # T9: accounting of bytes.

    def test_however_the_body_is_cut_into_records(self):
        body = os.urandom(20_000)
        for number, records in enumerate(("one", "apart", 1000, 16384)):
            path = f"/big/cut{number}"
            answer = self.server.put(path, body, ";mime=application/octet-stream",
                                     records=records)
            self.assert_stored(answer, path, body)
        path, body = "/big/bytes", os.urandom(700)
        answer = self.server.put(path, body, ";mime=application/octet-stream", records=1)
        self.assert_stored(answer, path, body)

    def test_a_body_of_many_megabytes(self):
        body = os.urandom(MIB) * 20
        for read in ("after", "while"):
            answer = self.server.put("/big/many", body, ";mime=application/octet-stream",
                                     records="apart", read=read)
            self.assert_stored(answer, "/big/many", body)

    def test_the_line_in_single_bytes(self):
        path = "/open/line"
        with Conversation(self.server.port) as talk:
            talk.say(self.line(path, ";size=3").encode() + b"\r\nabc", record=1)
            self.assert_stored(talk.read(), path, b"abc")

    def test_a_short_body_and_close_notify(self):
        for records in ("one", "apart"):
            answer = self.ask("/open/short", ";size=10", b"abcd", records=records,
                              finish="close_notify", leave=True)
            self.assert_refused(answer, 59)
            self.assert_absent("/open/short")

    def test_a_short_body_and_fin(self):
        answer = self.ask("/open/shortfin", ";size=10", b"abcd", finish="fin")
        self.assertIn(answer.status, (59, None), answer)
        self.assert_absent("/open/shortfin")

    def test_a_short_body_and_reset(self):
        for body in (b"", b"abcd"):
            self.ask("/open/shortreset", ";size=10", body, records="apart", finish="reset")
        # Whatever it left behind is gone when its place in line is: wait for the access line.
        self.assertTrue(eventually(lambda: "shortreset" in self.server.log()))
        self.assertTrue(eventually(lambda: not self.server.temporary_files()))
        self.assert_absent("/open/shortreset")

    def test_a_short_body_leaves_the_old_file(self):
        self.plant("/open/shortold", b"old")
        answer = self.ask("/open/shortold", ";size=10", b"new", finish="close_notify",
                          leave=True)
        self.assert_refused(answer, 59)
        self.assertEqual(self.server.get("/open/shortold").body, b"old")

    def test_surplus_in_the_same_record(self):
        self.plant("/open/surplus", b"old")
        for surplus in (b"d", b"d" * 10_000):
            answer = self.ask("/open/surplus", ";size=3", b"abc" + surplus, leave=True)
            self.assert_refused(answer, 59)
            self.assertEqual(self.server.get("/open/surplus").body, b"old")

    def test_surplus_in_the_record_that_ends_the_body(self):
        with Conversation(self.server.port) as talk:
            talk.say(self.line("/open/surplus2", ";size=6").encode() + b"\r\nabc")
            talk.say(b"defg")
            self.assert_refused(talk.read(leave=True), 59)
        self.assert_absent("/open/surplus2")

    def test_surplus_that_comes_after_the_answer_is_drained(self):
        answer = self.ask("/open/later", ";size=3", b"abc", later=b"d" * 100_000)
        self.assert_stored(answer, "/open/later", b"abc")

    def test_half_closing_after_the_whole_body(self):
        for finish in ("close_notify", "fin"):
            path = f"/open/half-{finish}"
            self.assert_stored(self.ask(path, ";size=3", b"abc", finish=finish), path, b"abc")

    # T11: the answer.

    def test_the_answer_is_percent_encoded(self):
        for path in ("/open/my%20page.gmi", "/open/caf%C3%A9.gmi", "/open/a%3Fb%23c%25d.gmi"):
            self.assert_stored(self.server.put(path, b"abc"), path, b"abc")

    def test_a_raw_name_in_utf8_is_as_an_encoded_one(self):
        answer = self.ask("/open/naïve.gmi", ";size=3", b"abc")
        self.assert_stored(answer, "/open/na%C3%AFve.gmi", b"abc")

    def test_dots_that_stay_inside(self):
        self.folder.make("open/dots")
        for path in ("/open/./dots/x", "/open/dots/../dots/x", "/open/dots/%2e/x"):
            answer = self.ask(path, ";size=3", b"abc")
            self.assertEqual(answer.status, 30, answer)
            self.assertEqual(self.file("/open/dots/x").read_bytes(), b"abc")
            self.file("/open/dots/x").unlink()


if __name__ == "__main__":
    unittest.main()
