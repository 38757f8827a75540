// The tar archives that egalaxyd makes and takes: ustar, regular files alone, so that tar(1) reads
// them too. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace egalaxyd {

/// The header of a regular file that only its owner may read; its bytes follow, then tarPadding().
/// kInvalid: the name is too long for a header, which holds 100 bytes, or 255 if it can be cut in
/// two at a '/'.
Result<std::string> tarHeader(const std::string& name, std::uint64_t size, std::int64_t time);
std::string tarPadding(std::uint64_t size);
/// What the archive ends with.
std::string tarEnd();

/// Told of each file of an archive, in order. A failure ends the reading.
class TarSink {
 public:
  virtual ~TarSink() = default;
  /// `size` is what the header announces: the archive may end before.
  virtual Result<void> begin(const std::string& name, std::uint64_t size) = 0;
  virtual Result<void> bytes(std::string_view some) = 0;
  virtual Result<void> end() = 0;
};

/// Reads an archive as its bytes come. Nobody vouches for them: names are passed on as they are;
/// what is no regular file (a link, a folder, a device) is refused; never holds more than a header.
class TarReader {
 public:
  /// `sink` must outlive it.
  explicit TarReader(TarSink& sink) : sink_(sink) {}

  /// kInvalid: this is no such archive. After any failure the reader must not be used.
  Result<void> feed(std::string_view some);
  /// All has been fed. kInvalid: the archive is cut off.
  Result<void> finish() const;

 private:
  Result<void> feedPart(std::string_view& some);
  Result<void> takeHeader();
  Result<void> takeContent(std::string_view& some);

  TarSink& sink_;
  std::string header_;  ///< of the next file, as far as it has come
  bool inFile_ = false;
  std::uint64_t left_ = 0;   ///< of the file's bytes
  std::size_t padding_ = 0;  ///< behind them
  std::size_t empty_ = 0;    ///< blocks of zeros in a row: two are the end
};

}  // namespace egalaxyd
