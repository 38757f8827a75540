// Runs every fuzzer over its corpus in builds without libFuzzer: what a fuzzer once found stays
// found.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

/// A violated property ends the process; the trace then ends with the file's name.
void replay(const char* name, void (*fuzzer)(std::string_view)) {
  int files = 0;
  const auto folder = std::filesystem::path(EGALAXYD_CORPUS_DIR) / name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input(std::istreambuf_iterator<char>(file), {});
    ASSERT_FALSE(file.bad()) << entry.path();
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);
    fuzzer(input);
    ++files;
  }
  EXPECT_GT(files, 0) << "no corpus in " << folder;
}

TEST(CorpusReplay, GeminiParserKeepsItsProperties) { replay("gemini_parser", gemini_parser); }
TEST(CorpusReplay, SpartanParserKeepsItsProperties) { replay("spartan_parser", spartan_parser); }
TEST(CorpusReplay, ProxyHeaderKeepsItsProperties) { replay("proxy_header", proxy_header); }
TEST(CorpusReplay, UriKeepsItsProperties) { replay("uri", uri); }
TEST(CorpusReplay, PathKeepsItsProperties) { replay("path", path); }
TEST(CorpusReplay, EncoderKeepsItsProperties) { replay("encoder", encoder); }
TEST(CorpusReplay, SpartanEncoderKeepsItsProperties) { replay("spartan_encoder", spartan_encoder); }
TEST(CorpusReplay, ControlProtocolKeepsItsProperties) {
  replay("control_protocol", control_protocol);
}
TEST(CorpusReplay, BackupArchiveKeepsItsProperties) { replay("backup_archive", backup_archive); }
TEST(CorpusReplay, SidecarKeepsItsProperties) { replay("sidecar", sidecar); }
TEST(CorpusReplay, ScriptHeaderKeepsItsProperties) { replay("script_header", script_header); }
TEST(CorpusReplay, FastcgiRecordsKeepsItsProperties) { replay("fastcgi_records", fastcgi_records); }
TEST(CorpusReplay, HandshakeGuardKeepsItsProperties) { replay("handshake_guard", handshake_guard); }
TEST(CorpusReplay, LauncherProtocolKeepsItsProperties) {
  replay("launcher_protocol", launcher_protocol);
}

}  // namespace
}  // namespace egalaxyd::fuzz
