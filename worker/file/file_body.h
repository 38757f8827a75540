// A response that sends an open file, and the answers if it could not be opened.
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
#include "common/file/site_root.h"
#include "common/loop/event_loop.h"
#include "worker/site/body.h"
#include "worker/site/response.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Sends as many bytes as the file had when it was opened, beginning with OpenFile::head. A file
/// that has grown is cut there; one that shrank or cannot be read is kFailed. Bytes in the page
/// cache are read at once (RWF_NOWAIT), others in the pool; while its queue is full it tries again
/// later.
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

/// The answer if a file could not be opened; logs what the operator should know.
Response openFailure(const Error& error);

}  // namespace egalaxyd
