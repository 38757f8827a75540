// egalaxyctl's answers as values.
#pragma once

#include <Poco/JSON/Object.h>
#include <Poco/JSON/Parser.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {

/// What `egalaxyctl --json WORDS...` prints; it must succeed.
inline Poco::JSON::Object::Ptr askJson(const Capsule& capsule, std::vector<std::string> words) {
  words.insert(words.begin(), "--json");
  const Finished finished = capsule.ctl(words);
  EXPECT_EQ(finished.status.code, 0) << finished.all();
  return Poco::JSON::Parser().parse(finished.out).extract<Poco::JSON::Object::Ptr>();
}

}  // namespace egalaxyd
