// Files that are compressed with zstd, written and read as a stream: memory stays the same however
// large they are. Blocking.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace egalaxyd {

/// Compresses what it is given into `fd`, as one frame with a checksum.
class ZstdWriter {
 public:
  /// `fd` must outlive it.
  explicit ZstdWriter(int fd);
  ~ZstdWriter();
  ZstdWriter(const ZstdWriter&) = delete;
  ZstdWriter& operator=(const ZstdWriter&) = delete;

  Result<void> write(std::string_view bytes);
  /// Once, last.
  Result<void> finish();

 private:
  struct State;
  Result<void> compress(std::string_view bytes, bool last);

  int fd_;
  std::unique_ptr<State> state_;
};

/// Gives what `fd` holds from its beginning, in parts; a failure of `take` ends the reading. Nobody
/// vouches for the file. kInvalid: it is no single whole frame, is damaged, or wants more than 8
/// MiB of memory.
Result<void> readZstd(int fd, const std::function<Result<void>(std::string_view)>& take);

}  // namespace egalaxyd
