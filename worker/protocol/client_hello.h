// Whether a TLS client's first message is all there. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// A longer ClientHello is handed on as it is; with post-quantum keys they come to 2 KiB.
inline constexpr std::size_t kMaxClientHello = 16 * 1024;

/// How many bytes a connection must have for its ClientHello to be whole, as far as `bytes`, its
/// first, tell: wait for more only while there are fewer. What is no ClientHello needs no more
/// bytes than there are.
std::size_t clientHelloBytes(std::string_view bytes);

}  // namespace egalaxyd
