// Whether a file's content is a private key, whatever the file is called. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// A key that begins further into a file is not looked for.
inline constexpr std::size_t kKeySearchBytes = 64 * 1024;

/// `head`: the first bytes of a file. True for PEM: a block of a private key anywhere before the
/// first zero byte, whatever precedes it (text, certificates, the quotes of JSON), if base64
/// follows, so a page that only mentions such a block is not one. True for DER at the very
/// beginning: PKCS#8, encrypted or not, PKCS#1, SEC1, the old form of DSA, and PKCS#12.
bool isPrivateKey(std::string_view head);

/// Whether more bytes after `head` could change the result of isPrivateKey().
bool mayBecomePrivateKey(std::string_view head);

}  // namespace egalaxyd
