#include <openssl/rand.h>
#include <spdlog/fmt/fmt.h>

#include <array>
#include <charconv>
#include <ostream>

#include "common/sha256.h"
#include "ctl/command_table.h"
#include "ctl/json_output.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kDefaultBytes = 32;
constexpr std::size_t kMinBytes = 16;   // below, a token can be guessed
constexpr std::size_t kMaxBytes = 256;  // above, it takes too much of Titan's 1024-byte line

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

/// 0 when `text` is not a number that is allowed.
std::size_t byteCount(const std::string& text) {
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && count >= kMinBytes && count <= kMaxBytes ? count : 0;
}

}  // namespace

int printToken(const Invocation& invocation) {
  const auto given = invocation.options.find("bytes");
  const std::size_t count =
      given == invocation.options.end() ? kDefaultBytes : byteCount(given->second);
  if (count == 0) {
    invocation.err << fmt::format("egalaxyctl token: --bytes {} is not a number from {} to {}\n",
                                  given->second, kMinBytes, kMaxBytes);
    return kExitUsage;
  }
  std::vector<unsigned char> random(count);
  if (RAND_bytes(random.data(), static_cast<int>(count)) != 1) {
    return complain(invocation, {ErrorCode::kIo, "the system gives no random bytes"});
  }
  const std::string token = base64Url(random);
  const std::string accepted = "sha256:" + sha256Hex(token);
  if (invocation.has("json")) {
    auto object = jsonObject();
    object.set("token", token);
    object.set("accepted", accepted);
    printJson(invocation.out, object);
  } else {
    invocation.out << token << '\n' << accepted << '\n';
  }
  return 0;
}

}  // namespace egalaxyd
