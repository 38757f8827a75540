// Whether a TLS client's first message is all there. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// With its record headers. With post-quantum keys they come to 2 KiB; what OpenSSL does with the
/// lists in a long one grows with the square of its length.
inline constexpr std::size_t kMaxClientHello = 8 * 1024;

/// How many bytes a connection must have for its ClientHello to be whole, as far as `bytes`, its
/// first, tell: wait for more only while there are fewer. What is no ClientHello needs no more
/// bytes than there are, and kMaxClientHello is the answer for one that is too long.
std::size_t clientHelloBytes(std::string_view bytes);

}  // namespace egalaxyd
