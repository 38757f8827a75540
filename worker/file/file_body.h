// An open file as a response, and what is answered where there is none.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "worker/file/site_root.h"
#include "worker/site/body.h"
#include "worker/site/response.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Sends as many bytes as the file had when it was opened, of which it brings the first: a file
/// that grows is cut there, one that shrinks or cannot be read is kFailed. Bytes in memory are read
/// at once, others in the pool; while the pool is full it tries again later.
class FileBody final : public BodySource {
 public:
  FileBody(OpenFile file, Services& services);
  ~FileBody() override;
  BodyChunk pull(std::span<char> scratch) override;

 private:
  struct PoolRead;
  BodyChunk chunkOfHead(std::span<char> into);
  BodyChunk readInPool(std::size_t bytes);
  BodyChunk chunkOf(std::span<const char> buffer, std::int64_t got, int error);

  UniqueFd file_;     ///< lent to `read_` while that is under way
  std::string head_;  ///< the file's first bytes; "" once they are sent
  std::uint64_t offset_ = 0;
  const std::uint64_t size_;
  Services& services_;
  std::shared_ptr<PoolRead> read_;
  Timer retry_;
};

/// `type` with its parameters: `charset` for text/*, `lang` for text/gemini, each unless it is
/// empty or `type` has one already.
std::string describeMediaType(std::string_view type, std::string_view charset,
                              std::string_view lang);

/// 20 with the file, which is a regular one.
Response fileResponse(OpenFile file, std::string mediaType, Services& services);

/// What the client of a file that could not be opened is told; logs what the operator should know.
Response openFailure(const Error& error);

}  // namespace egalaxyd
