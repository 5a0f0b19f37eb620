"""Tests check_layers.py over small trees made for the purpose."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import check_layers


class CheckLayers(unittest.TestCase):
    def check(self, files):
        """The exit code and the lines printed for a tree of {path: text}."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                code = check_layers.main([folder])
            return code, out.getvalue().splitlines()

    def assert_breach(self, files, message):
        code, lines = self.check(files)
        self.assertEqual(code, 1)
        self.assertEqual(lines, [message])

    def assert_fine(self, files):
        code, lines = self.check(files)
        self.assertEqual(code, 0, lines)

    def test_a_room_may_include_itself_and_those_below(self):
        self.assert_fine({
            "include/genever/net/stream.hpp":
                "#pragma once\n#include <genever/base/pid.hpp>\n#include <genever/net/a.hpp>\n#include <vector>\n",
        })

    def test_a_room_may_not_include_those_above(self):
        self.assert_breach(
            {"include/genever/net/stream.hpp": "#pragma once\n\n#include <genever/http/server.hpp>\n"},
            "include/genever/net/stream.hpp:3: room 'net' may not include genever/http/server.hpp")

    def test_siblings_are_not_below(self):
        self.assert_breach(
            {"src/otp/a.cpp": '#include "genever/csp/chan.hpp"\n', "src/otp/CMakeLists.txt": "genever_room(otp a.cpp)"},
            "src/otp/a.cpp:1: room 'otp' may not include genever/csp/chan.hpp")

    def test_a_private_header_of_a_room_above_is_found_too(self):
        self.assert_breach(
            {
                "src/web/secret.hpp": "#pragma once\n",
                "src/http/a.cpp": '#include "web/secret.hpp"\n',
                "src/http/CMakeLists.txt": "genever_room(http SOURCES a.cpp)",
            },
            "src/http/a.cpp:1: room 'http' may not include web/secret.hpp")

    def test_a_relative_path_does_not_hide_the_room(self):
        self.assert_breach(
            {
                "src/web/secret.hpp": "#pragma once\n",
                "src/http/a.cpp": '#include "../web/secret.hpp"\n',
                "src/http/CMakeLists.txt": "genever_room(http SOURCES a.cpp)",
            },
            "src/http/a.cpp:1: room 'http' may not include ../web/secret.hpp")

    def test_a_room_may_not_include_the_umbrella_header(self):
        self.assert_breach(
            {"include/genever/web/a.hpp": "#pragma once\n#include <genever/genever.hpp>\n"},
            "include/genever/web/a.hpp:2: room 'web' may not include the umbrella header genever/genever.hpp")

    def test_nothing_shipped_uses_the_test_kit_but_tests_may(self):
        self.assert_breach(
            {"include/genever/genever.hpp": "#pragma once\n#include <genever/testing/sim.hpp>\n"},
            "include/genever/genever.hpp:2: nothing shipped may include genever/testing/sim.hpp")
        self.assert_fine({
            "src/otp/a_test.cpp": "#include <genever/testing/sim.hpp>\n",
            "src/otp/CMakeLists.txt": "genever_room(otp TESTS a_test.cpp)",
        })

    def test_heavy_headers_stay_out_of_public_headers(self):
        for name, library in [
            ("boost/beast/http.hpp", "Boost.Beast"), ("boost/beast.hpp", "Boost.Beast"),
            ("openssl/ssl.h", "OpenSSL"), ("nghttp2/nghttp2.h", "nghttp2"), ("spdlog/spdlog.h", "spdlog"),
            ("fmt/format.h", "fmt"), ("backtrace.h", "libbacktrace"),
        ]:
            with self.subTest(name):
                self.assert_breach(
                    {"include/genever/http/a.hpp": f"#pragma once\n#include <{name}>\n"},
                    f"include/genever/http/a.hpp:2: a public header may not include {library} (<{name}>)")

    def test_beast_belongs_to_the_http_room(self):
        self.assert_breach(
            {"src/web/a.cpp": "#include <boost/beast/http.hpp>\n", "src/web/CMakeLists.txt": "a.cpp"},
            "src/web/a.cpp:1: Boost.Beast may be included only in the .cpp files of room 'http'")
        self.assert_fine(
            {"src/http/a.cpp": "#include <boost/beast/http.hpp>\n", "src/http/CMakeLists.txt": "a.cpp"})

    def test_a_header_needs_pragma_once(self):
        self.assert_breach({"include/genever/base/a.hpp": "int x;\n"},
                           "include/genever/base/a.hpp:1: a header needs '#pragma once'")

    def test_a_source_must_be_listed(self):
        self.assert_breach(
            {"src/base/a.cpp": "", "src/base/b.cpp": "", "src/base/CMakeLists.txt": "genever_room(base b.cpp) # a.cpp"},
            "src/base/a.cpp:1: not listed in src/base/CMakeLists.txt")

    def test_an_unknown_room_is_named(self):
        self.assert_breach({"include/genever/attic/a.hpp": "#pragma once\n"},
                           "include/genever/attic/a.hpp:1: there is no room 'attic' (tools/check_layers.py lists them)")

    def test_the_table_names_only_rooms(self):
        self.assertEqual(sorted(check_layers.MAY_USE), sorted(check_layers.ROOMS))
        for room, below in check_layers.MAY_USE.items():
            self.assertTrue(set(below) <= set(check_layers.ROOMS), room)

    def test_an_empty_tree_is_not_a_pass(self):
        self.assertEqual(self.check({})[0], 1)


if __name__ == "__main__":
    unittest.main()
