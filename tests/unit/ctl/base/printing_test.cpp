// Nothing that came from a server or a peer commands the operator's terminal.
#include <Poco/JSON/Object.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/base/terminal_text.h"

namespace egalaxyd::ctl {
namespace {

const std::string kTitle = "\x1b]0;owned\x07";
const std::string kC1 =
    "\xc2\x9b"
    "31m";

bool commands(const std::string& text) {
  return text.find('\x1b') != std::string::npos || text.find('\x07') != std::string::npos ||
         text.find("\xc2\x9b") != std::string::npos || text.find('\r') != std::string::npos;
}

TEST(Printing, ATableShowsNoControlCharacters) {
  Table table({"host", "path"});
  table.add({"a" + kTitle, "\r\n" + kC1 + "ä"});
  std::ostringstream out;
  table.print(out);
  EXPECT_FALSE(commands(out.str())) << out.str();
  EXPECT_NE(out.str().find("ä"), std::string::npos);
  EXPECT_EQ(std::ranges::count(out.str(), '\n'), 2);
}

TEST(Printing, ACellShowsNoControlCharacters) {
  Poco::JSON::Object object;
  object.set("error", kTitle + kC1);
  EXPECT_FALSE(commands(cellOf(object, "error")));
}

TEST(Printing, AComplaintShowsNoControlCharacters) {
  std::ostringstream out;
  std::ostringstream err;
  complain({{}, {}, out, err}, Error{ErrorCode::kIo, kTitle});
  EXPECT_FALSE(commands(err.str())) << err.str();
}

TEST(Printing, JsonIsEscapedAndStaysTheSameValue) {
  Poco::JSON::Object object;
  object.set("path", kTitle + kC1 + "\x7f ä");
  std::ostringstream out;
  printJson(out, object);
  EXPECT_EQ(out.str(), "{\n  \"path\": \"\\u001B]0;owned\\u0007\\u009b31m\\u007f ä\"\n}\n");
}

TEST(Printing, APageOnATerminalIsTextAndNothingElse) {
  const std::string page = "# Ä\t" + kTitle + "\r\n=> /" + kC1 + "\xff\n\xf0\x9f\x8c\x8c\n";
  for (std::size_t size = 1; size <= page.size(); ++size) {
    TerminalText text;
    std::string shown;
    for (std::size_t at = 0; at < page.size(); at += size)
      shown += text.show(page.substr(at, size));
    shown += text.end();
    EXPECT_EQ(shown, "# Ä\t?]0;owned?\n=> /??31m?\n\xf0\x9f\x8c\x8c\n") << size;
  }
}

TEST(Printing, APageThatEndsInsideACharacterIsShownToItsEnd) {
  TerminalText text;
  std::string shown = text.show("a\xe2\x82");
  shown += text.end();
  EXPECT_EQ(shown, "a??");
}

}  // namespace
}  // namespace egalaxyd::ctl
