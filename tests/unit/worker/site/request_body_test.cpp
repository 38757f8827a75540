#include "worker/site/request_body.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

/// All of a body, and what came of reading on.
Task<void> readBeyondTheEnd(RequestBody& body, std::string& told) {
  for (int i = 0; i < 4; ++i) {
    const auto bytes = co_await body.read();
    told += bytes ? "[" + *bytes + "]" : "(" + bytes.error().message + ")";
  }
}

TEST(RequestBody, ATaskThatReadsBeyondTheEndGoesOn) {
  RequestBody body(3, [] {});
  std::string told;
  Tasks tasks;
  tasks.start(readBeyondTheEnd(body, told));
  body.give(std::string("abc"));
  body.give(std::string());
  EXPECT_EQ(told, "[abc][](the body has been read already)(the body has been read already)");
  EXPECT_EQ(tasks.running(), 0u);
}

TEST(RequestBody, ATaskThatReadsOnAfterAnErrorGoesOn) {
  RequestBody body(3, [] {});
  std::string told;
  Tasks tasks;
  body.end({ErrorCode::kIo, "the client left"});
  tasks.start(readBeyondTheEnd(body, told));
  EXPECT_TRUE(told.starts_with("(the client left)(the body has been read already)")) << told;
  EXPECT_EQ(tasks.running(), 0u);
}

}  // namespace
}  // namespace egalaxyd
