// The small modules: file, redirect, reply.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class Modules : public testing::Test {
 protected:
  void mount(const std::string& path, const std::string& toml) {
    text_ += "[sites.\"localhost\".\"" + path + "\"]\n" + toml + "\n";
    capsule.sites(text_);
  }

  Capsule capsule;

 private:
  std::string text_;
};

TEST_F(Modules, AFileAnswersAtItsPathAlone) {
  capsule.dir().write("note.txt", "note\n");
  mount("/note", "module = \"file\"\npath = \"note.txt\"");
  mount("/typed", "module = \"file\"\npath = \"note.txt\"\nmime = \"text/gemini\"");
  capsule.start();
  const Reply reply = capsule.get("/note");
  EXPECT_EQ(reply.body, "note\n") << reply;
  EXPECT_EQ(reply.meta.substr(0, 10), "text/plain");
  EXPECT_EQ(capsule.get("/typed").meta.substr(0, 11), "text/gemini");
  EXPECT_EQ(capsule.get("/note/below").status, 51);
  EXPECT_EQ(capsule.get("/").status, 51);
}

TEST_F(Modules, ARedirectFillsInPathQueryAndHost) {
  mount("/old", "module = \"redirect\"\nto = \"/new%path%\"");
  mount("/gone",
        "module = \"redirect\"\nto = \"gemini://%host%/x%path%?%query%\"\npermanent = true");
  capsule.start();
  EXPECT_EQ(capsule.get("/old/a/b").header, "30 /new/a/b");
  EXPECT_EQ(capsule.get("/old/my%20page").header, "30 /new/my%20page");
  EXPECT_EQ(capsule.get("/gone/a?b%20c").header, "31 gemini://localhost/x/a?b%20c");
  const Reply injected = capsule.get("/old/a%0D%0A20%20text/gemini%0D%0A");
  EXPECT_EQ(injected.body, "") << injected;
  EXPECT_NE(injected.status, 20);
}

TEST_F(Modules, AReplyGivesEveryStatusThereIs) {
  const int statuses[] = {10, 11, 20, 30, 31, 40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62};
  for (const int status : statuses) {
    const std::string meta = status == 20 ? "text/gemini" : status / 10 == 3 ? "/there" : "Words";
    mount(std::string("/") + std::to_string(status),
          "module = \"reply\"\nstatus = " + std::to_string(status) + "\nmeta = \"" +
              (status == 44 ? "30" : meta) + "\"" +
              (status == 20 ? "\nbody = \"# Fixed\\n\"" : ""));
  }
  capsule.start();
  for (const int status : statuses) {
    const Reply reply = capsule.get(std::string("/") + std::to_string(status));
    EXPECT_EQ(reply.status, status) << reply;
    EXPECT_NE(reply.meta, "") << reply;
    EXPECT_EQ(reply.body, status == 20 ? "# Fixed\n" : "") << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }
}

}  // namespace
}  // namespace egalaxyd
