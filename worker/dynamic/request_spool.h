// A request's body as a file: a script's standard input, what an application is sent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "worker/base/lane.h"
#include "worker/base/task.h"
#include "worker/site/request_body.h"

namespace egalaxyd {

/// A file in the spool folder, which loses its name with this object; a script that has it open
/// keeps its content. What a worker that died leaves there, the master removes.
class SpooledBody {
 public:
  SpooledBody() = default;
  SpooledBody(std::filesystem::path folder, std::string name, UniqueFd file)
      : folder_(std::move(folder)), name_(std::move(name)), file_(std::move(file)) {}
  SpooledBody(SpooledBody&& other) noexcept { *this = std::move(other); }
  SpooledBody& operator=(SpooledBody&& other) noexcept;
  ~SpooledBody() { remove(); }

  /// "": there is none.
  const std::string& name() const { return name_; }
  int fd() const { return file_.get(); }
  std::uint64_t size() const { return size_; }
  void grew(std::uint64_t bytes) { size_ += bytes; }
  /// Takes its name away.
  void remove() noexcept;

 private:
  std::filesystem::path folder_;
  std::string name_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
};

/// Where bodies go.
struct SpoolPlace {
  std::filesystem::path folder;
  std::string name;  ///< of the new file: digits and dashes
  FreeFloor minFree;
};

/// Receives all of `body`, waiting for the disk on `lane`. Errors: what RequestBody::read gives
/// (the message is for the client, with kIo it has left), kNoSpace, and kPermission for what else
/// the system refuses, both for the log.
Task<Result<SpooledBody>> spool(std::shared_ptr<RequestBody> body, SpoolPlace place, Lane& lane);

}  // namespace egalaxyd
