// Tells whether a TLS client's first message is complete. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// With record headers. Post-quantum keys bring a ClientHello to 2 KiB. The time that OpenSSL
/// spends on the lists in a long one grows with the square of its length.
inline constexpr std::size_t kMaxClientHello = 8 * 1024;

/// How many bytes a complete ClientHello takes, judged by `bytes`, the first of a connection: wait
/// while there are fewer. The answer is bytes.size() if they are no ClientHello, and
/// kMaxClientHello if it is too long.
std::size_t clientHelloBytes(std::string_view bytes);

}  // namespace egalaxyd
