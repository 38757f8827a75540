#include "ctl/base/command_table.h"

#include <Poco/JSON/Parser.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <sstream>

#include "common/tls/certificate.h"
#include "ctl/base/reference.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd::ctl {
namespace {

struct Ran {
  int code;
  std::string out;
  std::string err;
};

Ran run(const std::vector<std::string>& arguments,
        const std::map<std::string, std::string>& options = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = runCommand({arguments, options, out, err});
  return {code, out.str(), err.str()};
}

std::string sha256Of(const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(CommandTable, FindsACommandByItsWords) {
  ASSERT_NE(findCommand({"token"}), nullptr);
  EXPECT_EQ(findCommand({"token"})->words, "token");
  ASSERT_NE(findCommand({"certificate", "show", "x.crt"}), nullptr);
  EXPECT_EQ(findCommand({"certificate", "show", "x.crt"})->words, "certificate show");
  EXPECT_EQ(findCommand({"certificate"}), nullptr);
  EXPECT_EQ(findCommand({}), nullptr);
}

TEST(CommandTable, TakesTheCommandOfMostWords) {
  EXPECT_EQ(findCommand({"users"})->words, "users");
  EXPECT_EQ(findCommand({"users", "show", "x"})->words, "users show");
  EXPECT_EQ(findCommand({"limits", "clear"})->words, "limits clear");
}

TEST(CommandTable, NamesEachCommandOnceAndFitsATerminal) {
  std::set<std::string_view> names;
  for (const Command& command : commands()) {
    EXPECT_TRUE(names.insert(command.words).second) << command.words;
    std::istringstream lines(commandList(&command));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  }
}

TEST(CommandTable, HelpTellsOfEachCommandAndOfOne) {
  const auto all = run({"help"});
  EXPECT_EQ(all.code, 0);
  for (const Command& command : commands()) EXPECT_TRUE(has(all.out, command.words));
  const auto one = run({"help", "certificate", "show"});
  EXPECT_EQ(one.code, 0);
  EXPECT_TRUE(has(one.out, "  certificate show FILE")) << one.out;
  EXPECT_FALSE(has(one.out, "certificate create")) << one.out;
  const auto wrong = run({"help", "tokne"});
  EXPECT_EQ(wrong.code, kExitUsage);
  EXPECT_TRUE(has(wrong.err, "  token ")) << wrong.err;
}

TEST(CommandTable, ListsNearCommandsForAMisspeltOne) {
  const auto ran = run({"tokne"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_TRUE(has(ran.err, "'tokne'")) << ran.err;
  EXPECT_TRUE(has(ran.err, "  token ")) << ran.err;
  EXPECT_FALSE(has(ran.err, "  get ")) << ran.err;
  EXPECT_EQ(ran.out, "");
}

TEST(CommandTable, ListsTheContinuationsOfAnIncompleteCommand) {
  for (const auto& line : {std::vector<std::string>{"certificate"}, {"certificate", "frob"}}) {
    const auto ran = run(line);
    EXPECT_EQ(ran.code, kExitUsage);
    EXPECT_TRUE(has(ran.err, "certificate create")) << ran.err;
    EXPECT_TRUE(has(ran.err, "certificate show")) << ran.err;
    EXPECT_FALSE(has(ran.err, "  token")) << ran.err;
  }
}

TEST(CommandTable, NarrowsAGroupToTheNearContinuations) {
  for (const auto& line : {std::vector<std::string>{"certificate", "crate"},
                           {"certficate", "create", "x"},
                           {"create", "x"},
                           {"certificate", "creat"}}) {
    const auto ran = run(line);
    EXPECT_EQ(ran.code, kExitUsage);
    EXPECT_TRUE(has(ran.err, "  certificate create")) << ran.err;
    EXPECT_FALSE(has(ran.err, "  certificate show")) << ran.err;
  }
  EXPECT_TRUE(has(run({"wroker", "restart"}).err, "  worker restart"));
  EXPECT_TRUE(has(run({"restart", "all"}).err, "  worker restart"));
}

TEST(CommandTable, NamesTheNearestValue) {
  EXPECT_TRUE(has(run({"log", "wran"}).err, "did you mean warn?"));
  EXPECT_TRUE(has(run({"completion", "fihs"}).err, "did you mean fish?"));
  EXPECT_TRUE(has(run({"stats"}, {{"format", "jsn"}}).err, "did you mean json?"));
  const auto far = run({"log", "quietly"});
  EXPECT_EQ(far.code, kExitUsage);
  EXPECT_TRUE(has(far.err, "trace, debug, info, warn, error\n")) << far.err;
}

TEST(CommandTable, ListsAllCommandsWhenNoneIsNearOrNoneIsGiven) {
  for (const auto& line : {std::vector<std::string>{}, {"zzzzzzzz"}}) {
    const auto ran = run(line);
    EXPECT_EQ(ran.code, kExitUsage);
    for (const Command& command : commands()) EXPECT_TRUE(has(ran.err, command.words)) << ran.err;
  }
}

TEST(CommandTable, RefusesAWrongNumberOfArguments) {
  EXPECT_EQ(run({"certificate", "show"}).code, kExitUsage);
  EXPECT_TRUE(has(run({"certificate", "create"}).err, "HOST... is missing"));
  EXPECT_TRUE(has(run({"token", "now"}).err, "'now' is one argument too many"));
}

TEST(CommandTable, RefusesAnOptionThatTheCommandDoesNotTake) {
  const auto ran = run({"token"}, {{"dir", "/tmp"}});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_TRUE(has(ran.err, "takes no --dir")) << ran.err;
  EXPECT_EQ(run({"token"}, {{"socket", "/run/x"}}).code, 0);
}

TEST(ListCommands, RefuseOptionsThatMakeNoSense) {
  for (const char* limit : {"", "0", "-1", "1001", "10x", "ten"}) {
    for (const char* command : {"users", "uploads"}) {
      const auto ran = run({command}, {{"limit", limit}, {"socket", "/nowhere"}});
      EXPECT_EQ(ran.code, kExitUsage) << limit;
      EXPECT_TRUE(has(ran.err, "is not a number from 1 to 1000")) << ran.err;
    }
  }
  for (const char* since : {"", "2", "yesterday", "2026-02-30", "1w"}) {
    const auto ran = run({"uploads"}, {{"since", since}, {"socket", "/nowhere"}});
    EXPECT_EQ(ran.code, kExitUsage) << since;
    EXPECT_TRUE(has(ran.err, "a time is wanted")) << ran.err;
  }
  EXPECT_EQ(run({"uploads"}, {{"user", ""}, {"socket", "/nowhere"}}).code, kExitUsage);
}

TEST(ListCommands, SayThatNoServerAnswers) {
  const auto ran = run({"uploads"}, {{"since", "2h"}, {"limit", "5"}, {"socket", "/nowhere"}});
  EXPECT_EQ(ran.code, kExitUnavailable);
  EXPECT_EQ(ran.err, "egalaxyctl: no server answers at /nowhere\n");
}

TEST(TokenCommand, PrintsATokenAndTheLineThatAcceptsIt) {
  const auto ran = run({"token"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const std::string token = ran.out.substr(0, ran.out.find('\n'));
  EXPECT_EQ(token.size(), 43U);
  EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_"),
            std::string::npos);
  EXPECT_EQ(ran.out, token + "\nsha256:" + sha256Of(token) + "\n");
  EXPECT_NE(run({"token"}).out, ran.out);
  const auto named = run({"token"}, {{"name", "a.b"}});
  EXPECT_TRUE(has(named.out, "\ntokens = { \"a.b\" = \"sha256:")) << named.out;
  EXPECT_TRUE(has(run({"token"}, {{"name", "a b"}}).err, "--name a b cannot be a name"));
}

TEST(TokenCommand, MakesTokensOfTheLengthAskedFor) {
  for (const auto& [bytes, characters] : {std::pair("16", 22U), {"17", 23U}, {"18", 24U}}) {
    const auto ran = run({"token"}, {{"bytes", bytes}});
    EXPECT_EQ(ran.out.find('\n'), characters) << bytes;
  }
  for (const char* bytes : {"", "0", "15", "257", "-1", "x", "16x", "99999999999999999999"}) {
    EXPECT_EQ(run({"token"}, {{"bytes", bytes}}).code, kExitUsage) << bytes;
  }
}

TEST(TokenCommand, PrintsTheSameAsJson) {
  const auto ran = run({"token"}, {{"json", ""}});
  Poco::JSON::Parser parser;
  const auto object = parser.parse(ran.out).extract<Poco::JSON::Object::Ptr>();
  EXPECT_EQ(object->getValue<std::string>("accepted"),
            "sha256:" + sha256Of(object->getValue<std::string>("token")));
}

TEST(CertificateCommands, CreateWritesFilesNamedAfterTheHostAndShowReadsThem) {
  const TempDir dir;
  const auto created =
      run({"certificate", "create", "example.org", "::1"}, {{"dir", dir.path().string()}});
  ASSERT_EQ(created.code, 0) << created.err;
  EXPECT_TRUE(has(created.out, "certificate = \"" + (dir / "example.org.crt").string() + "\""));
  ASSERT_TRUE(readKeyedCertificate(dir / "example.org.crt", dir / "example.org.key").ok());
  const auto shown = run({"certificate", "show", dir / "example.org.crt"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_TRUE(has(shown.out, "CN=example.org")) << shown.out;
  EXPECT_TRUE(has(shown.out, "example.org ::1")) << shown.out;
  EXPECT_TRUE(has(shown.out, "4096-01-01")) << shown.out;
}

TEST(CertificateCommands, CreateNamesFilesAsTheServerDoes) {
  const TempDir dir;
  EXPECT_EQ(run({"certificate", "create", "*.a.org"}, {{"dir", dir.path().string()}}).code, 0);
  EXPECT_EQ(run({"certificate", "create", "::1"}, {{"dir", dir.path().string()}}).code, 0);
  EXPECT_TRUE(std::filesystem::exists(dir / "_wildcard.a.org.crt"));
  EXPECT_TRUE(std::filesystem::exists(dir / "__1.key"));
}

TEST(CertificateCommands, CreateNeverReplacesAFileNorLeavesTheFolder) {
  const TempDir dir;
  dir.write("example.org.key", "mine");
  const std::map<std::string, std::string> options{{"dir", dir.path().string()}};
  EXPECT_EQ(run({"certificate", "create", "example.org"}, options).code, kExitCannotCreate);
  EXPECT_EQ(dir.read("example.org.key"), "mine");
  EXPECT_EQ(run({"certificate", "create", "../example.org"}, options).code, kExitData);
}

TEST(CertificateCommands, ShowPrintsJson) {
  const TempDir dir;
  run({"certificate", "create", "example.org"}, {{"dir", dir.path().string()}});
  const auto shown = run({"certificate", "show", dir / "example.org.crt"}, {{"json", ""}});
  Poco::JSON::Parser parser;
  const auto all = parser.parse(shown.out).extract<Poco::JSON::Array::Ptr>();
  ASSERT_EQ(all->size(), 1U);
  const auto object = all->getObject(0);
  EXPECT_EQ(object->getValue<std::string>("subject"), "CN=example.org");
  EXPECT_EQ(object->getValue<std::string>("not_after"), "4096-01-01T00:00:00Z");
  EXPECT_EQ(object->getValue<std::string>("sha256").size(), 64U);
  EXPECT_EQ(object->getArray("names")->getElement<std::string>(0), "example.org");
}

TEST(CertificateCommands, ShowSaysWhichFileIsMissingOrWrong) {
  const TempDir dir;
  const auto missing = run({"certificate", "show", dir / "no.crt"});
  EXPECT_EQ(missing.code, kExitNoInput);
  EXPECT_TRUE(has(missing.err, "no.crt")) << missing.err;
  EXPECT_EQ(run({"certificate", "show", dir.write("text", "hello")}).code, kExitData);
}

TEST(CompletionCommand, KnowsEveryCommandAndOption) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto ran = run({"completion", shell});
    ASSERT_EQ(ran.code, 0);
    for (const Command& command : commands()) {
      for (const auto& word : splitWords(command.words)) EXPECT_TRUE(has(ran.out, word)) << word;
      for (const auto& option : splitWords(command.options)) {
        EXPECT_TRUE(has(ran.out, option)) << shell << option;
      }
    }
  }
  EXPECT_TRUE(run({"completion", "zsh"}).out.starts_with("#compdef egalaxyctl\n"))
      << "compinit passes over a file that does not begin so";
  EXPECT_EQ(run({"completion", "csh"}).code, kExitUsage);
}

TEST(GetCommand, RefusesWhatItCannotFetch) {
  for (const char* url : {"", "http://example.org/", "gemini:///x", "gemini://[::1/", "a\r\nb",
                          "titan://example.org/x"}) {
    EXPECT_EQ(run({"get", url}).code, kExitUsage) << url;
  }
  EXPECT_EQ(run({"get", "spartan://a/"}, {{"cert", "x.crt"}}).code, kExitUsage);
}

TEST(PutCommand, RefusesALineThatMeansNothing) {
  const TempDir dir;
  const std::string file = dir.write("a.gmi", "# A\n").string();
  const struct {
    std::vector<std::string> words;
    std::map<std::string, std::string> options;
    const char* why;
  } cases[] = {
      {{file}, {}, "URL is missing"},
      {{file, "gemini://a/"}, {}, "titan://"},
      {{file, "https://a/"}, {}, "https://"},
      {{file, "titan://a/b;size=3"}, {}, "%3B"},
      {{file, "titan://a/b"}, {{"mime", "text"}}, "--mime text"},
      {{file, "titan://a/b"}, {{"key", "k"}}, "--cert"},
      {{file, "titan://a/b"}, {{"timeout", "0"}}, "--timeout"},
      {{file, "titan://a/b"}, {{"timeout", "1m"}}, "--timeout"},
      {{"-", "titan://a/b"}, {{"token", "-"}}, "standard input"},
      {{file, "titan://a/b"}, {{"delete", ""}}, "--delete"},
      {{file, "spartan://a/b?c"}, {}, "query"},
      {{file, "spartan://a/b"}, {{"token", "x"}}, "--token"},
      {{file, "spartan://a/b"}, {{"mime", "text/plain"}}, "--mime"},
      {{file, "spartan://a/b"}, {{"cert", "x"}}, "--cert"},
      {{"spartan://a/b"}, {{"delete", ""}}, "--delete"},
      {{"spartan://a/b"}, {{"trust", ""}}, "URL is missing"},
      {{file, "spartan://a/b"}, {{"trust", ""}}, "--trust"},
      {{file, "titan://a/b"}, {{"connect", "a:b"}}, "--connect a:b"},
      {{"/", "titan://a/b"}, {}, "ends with '/'"},
      {{file, file, "titan://a"}, {}, "ends with '/'"},
      {{file, "-", "titan://a/"}, {}, "standard input"},
  };
  for (const auto& c : cases) {
    std::vector<std::string> line{"put"};
    line.insert(line.end(), c.words.begin(), c.words.end());
    const auto ran = run(line, c.options);
    EXPECT_EQ(ran.code, kExitUsage) << ran.err;
    EXPECT_TRUE(has(ran.err, c.why)) << ran.err;
  }
}

TEST(PutCommand, RefusesAFileThatCannotBeSent) {
  const TempDir dir;
  ::setenv("XDG_STATE_HOME", dir.path().c_str(),
           1);  // whom the user of the test trusts is no matter
  EXPECT_EQ(run({"put", dir / "missing", "titan://a/b"}).code, kExitNoInput);
  EXPECT_EQ(run({"put", dir / "missing", "titan://a/b/"}).code, kExitNoInput);
  EXPECT_EQ(run({"put", dir.path(), "titan://a/"}).code, kExitNoInput) << "it is empty";
  const auto empty = run({"put", dir.write("empty", ""), "titan://a/b"});
  EXPECT_EQ(empty.code, kExitData);
  EXPECT_TRUE(has(empty.err, "put --delete")) << empty.err;
  EXPECT_EQ(run({"put", dir / "empty", "spartan://a/b"}).code, kExitData);
}

TEST(Reference, ResolvesAsText) {
  const struct {
    std::string base, reference, target;
  } cases[] = {
      {"gemini://a/b/c?q", "gemini://x/y", "gemini://x/y"},
      {"gemini://a/b/c?q", "https://x", "https://x"},
      {"gemini://a/b/c?q", "//x/y", "gemini://x/y"},
      {"gemini://a:1/b/c?q", "/d%2Fe", "gemini://a:1/d%2Fe"},
      {"gemini://a/b/c?q", "d", "gemini://a/b/d"},
      {"gemini://a/b/c?q", "./d?r=/..", "gemini://a/b/d?r=/.."},
      {"gemini://a/b/c?q", "../d", "gemini://a/d"},
      {"gemini://a/b/c", "../../../d", "gemini://a/d"},
      {"gemini://a/b/c/", "..", "gemini://a/b/"},
      {"gemini://a/b/c", ".", "gemini://a/b/"},
      {"gemini://a/b/c?q", "?r", "gemini://a/b/c?r"},
      {"gemini://a", "d", "gemini://a/d"},
      {"gemini://a?q", "/", "gemini://a/"},
      {"gemini://a/b?q=/x", "d:e/../f", "d:e/../f"},
      {"gemini://a/b", "./d:e", "gemini://a/d:e"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(resolveReference(c.base, c.reference), c.target) << c.base << " " << c.reference;
  }
}

}  // namespace
}  // namespace egalaxyd::ctl
