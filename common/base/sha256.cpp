#include "common/base/sha256.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>

#include "common/base/errno_error.h"

namespace egalaxyd {

void Sha256::Free::operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  // Nothing but a lack of memory can fail here.
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
    throw std::bad_alloc();
  }
}

void Sha256::add(std::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  digits.reserve(std::size_t{2} * length);
  for (unsigned int i = 0; i < length; ++i) {
    digits += kDigits[digest.at(i) >> 4];
    digits += kDigits[digest.at(i) & 15];
  }
  return digits;
}

std::string sha256Hex(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

Result<std::string> sha256OfFile(int fd) {
  Sha256 sum;
  std::array<char, 64 * 1024> buffer;
  for (off_t offset = 0;;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read", errno);
    if (got == 0) return sum.hex();
    sum.add({buffer.data(), static_cast<std::size_t>(got)});
    offset += got;
  }
}

}  // namespace egalaxyd
