#include "worker/dynamic/scgi_request.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {
namespace {

using namespace std::string_view_literals;

TEST(ScgiRequest, IsANetstringWithTheLengthFirst) {
  const std::vector<NamedValue> known = {{"REQUEST_METHOD", "POST"},
                                         {"REQUEST_URI", "/deepthought"}};
  EXPECT_EQ(scgiRequest(27, known),
            "70:CONTENT_LENGTH\00027\0SCGI\0001\0REQUEST_METHOD\0POST\0"
            "REQUEST_URI\0/deepthought\0,"sv);
  const std::vector<NamedValue> variables = {
      {"REQUEST_METHOD", "POST"}, {"QUERY_STRING", ""}, {"PATH_INFO", "/deepthought"}};
  EXPECT_EQ(scgiRequest(27, variables),
            "82:CONTENT_LENGTH\00027\0SCGI\0001\0REQUEST_METHOD\0POST\0QUERY_STRING\0\0"
            "PATH_INFO\0/deepthought\0,"sv);
}

TEST(ScgiRequest, LeavesOutWhatItSaysItself) {
  const std::vector<NamedValue> variables = {{"CONTENT_LENGTH", "9"}, {"SCGI", "2"}, {"A", "b"}};
  EXPECT_EQ(scgiRequest(0, variables), "28:CONTENT_LENGTH\0000\0SCGI\0001\0A\0b\0,"sv);
}

}  // namespace
}  // namespace egalaxyd
