#include <openssl/rand.h>
#include <spdlog/fmt/fmt.h>

#include <array>
#include <ostream>

#include "common/base/sha256.h"
#include "common/base/units.h"
#include "common/config/config_schema.h"
#include "common/config/people.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"

namespace egalaxyd::ctl {
namespace {

constexpr std::int64_t kDefaultBytes = 32;
constexpr std::int64_t kMinBytes = 16;   // below, a token can be guessed
constexpr std::int64_t kMaxBytes = 256;  // above, it takes too much of Titan's 1024-byte line

/// RFC 4648, section 5, without padding: nothing in it needs percent-encoding in a URL.
std::string base64Url(const std::vector<unsigned char>& bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  std::uint32_t held = 0;
  int bits = 0;
  for (const unsigned char byte : bytes) {
    held = (held << 8 | byte) & 0xFFFF;
    for (bits += 8; bits >= 6; bits -= 6) text += kAlphabet[held >> (bits - 6) & 0x3F];
  }
  if (bits > 0) text += kAlphabet[held << (6 - bits) & 0x3F];
  return text;
}

}  // namespace

int printToken(const Invocation& invocation) {
  const auto given = invocation.options.find("bytes");
  const auto count = given == invocation.options.end()
                         ? std::optional(kDefaultBytes)
                         : parseNumber(given->second, kMinBytes, kMaxBytes);
  if (!count) {
    return refuseLine(invocation, "token",
                      fmt::format("--bytes {} is not a number from {} to {}", given->second,
                                  kMinBytes, kMaxBytes));
  }
  const auto name = invocation.options.find("name");
  const bool hasName = name != invocation.options.end();
  if (hasName && !isName(name->second)) {
    return refuseLine(
        invocation, "token",
        fmt::format("--name {} cannot be a name; allowed: {}", name->second, kNameRule));
  }
  std::vector<unsigned char> random(static_cast<std::size_t>(*count));
  if (RAND_bytes(random.data(), static_cast<int>(*count)) != 1) {
    return complain(invocation, {ErrorCode::kIo, "the system gives no random bytes"});
  }
  const std::string token = base64Url(random);
  const std::string accepted = "sha256:" + sha256Hex(token);
  if (invocation.has("json")) {
    auto object = jsonObject();
    object.set("token", token);
    object.set("accepted", accepted);
    if (hasName) object.set("name", name->second);
    printJson(invocation.out, object);
  } else if (hasName) {
    invocation.out << fmt::format("{}\ntokens = {{ {} = \"{}\" }}\n", token, tomlKey(name->second),
                                  accepted);
  } else {
    invocation.out << token << '\n' << accepted << '\n';
  }
  return 0;
}

}  // namespace egalaxyd::ctl
