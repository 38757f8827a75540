#include "common/base/packing.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace egalaxyd {
namespace {

std::string packed(Packer& packer) { return std::move(packer).take(); }

constexpr std::string_view kTextWithNul("a\0b", 3);

TEST(Packing, GivesBackWhatWasPacked) {
  const std::string bytes =
      packed(Packer().number(std::uint8_t{7}).text(kTextWithNul).number(std::int64_t{-1}).text(""));
  Unpacker from(bytes);
  EXPECT_EQ(from.number<std::uint8_t>(), 7);
  EXPECT_EQ(from.text(), kTextWithNul);
  EXPECT_EQ(from.number<std::int64_t>(), -1);
  EXPECT_FALSE(from.complete()) << "a text is left";
  EXPECT_EQ(from.text(), "");
  EXPECT_TRUE(from.complete());
}

TEST(Packing, AnythingCutShortIsInvalid) {
  const std::string whole = packed(Packer().number(std::uint32_t{1}).text("text"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Unpacker from(std::string_view(whole).substr(0, length));
    from.number<std::uint32_t>();
    from.text();
    EXPECT_FALSE(from.valid()) << length;
  }
}

TEST(Packing, NothingIsReadBehindWhatWasMissing) {
  const std::string bytes = packed(Packer().number(std::uint32_t{100}).text("text"));
  Unpacker from(bytes);
  EXPECT_EQ(from.text(), "");
  EXPECT_EQ(from.number<std::uint8_t>(), 0);
  EXPECT_FALSE(from.complete());
}

TEST(Packing, AListHasNoMoreEntriesThanBytes) {
  const std::string bytes = packed(Packer().number(std::uint32_t{5}).number(std::uint64_t{0}));
  Unpacker fits(bytes);
  EXPECT_EQ(fits.count(1), 5U);
  Unpacker doesNot(bytes);
  EXPECT_EQ(doesNot.count(2), 0U);
  EXPECT_FALSE(doesNot.valid());
}

}  // namespace
}  // namespace egalaxyd
