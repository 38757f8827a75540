// What the fuzzers have in common. Each is one function over arbitrary bytes; entry.cpp hands it to
// libFuzzer, corpus_replay_test.cpp feeds it the corpus.
#pragma once

#include <string_view>

namespace egalaxyd::fuzz {

void gemini_parser(std::string_view input);
void spartan_parser(std::string_view input);
void uri(std::string_view input);
void path(std::string_view input);
void proxy_header(std::string_view input);
void encoder(std::string_view input);
void spartan_encoder(std::string_view input);
void backup_archive(std::string_view input);
void control_protocol(std::string_view input);
void handshake_guard(std::string_view input);
void launcher_protocol(std::string_view input);
void sidecar(std::string_view input);
void script_header(std::string_view input);
void fastcgi_records(std::string_view input);

/// Ends the process with `property` on stderr unless it holds.
void require(bool holds, const char* property);

/// Requires a Gemini header line: status, one space, printable text of at most 1024 bytes, CRLF.
void requireLegalHeader(std::string_view header);

/// Requires a Spartan header line: one digit, one space, printable ASCII, CRLF.
void requireLegalSpartanHeader(std::string_view header);

/// Requires the form that normalisePath promises.
void requireNormalPath(std::string_view path);

}  // namespace egalaxyd::fuzz
