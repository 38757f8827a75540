// --pidfile: for service managers that want one.
#pragma once

#include <filesystem>
#include <utility>

#include "common/base/result.h"

namespace egalaxyd {

/// A file with this process's id that goes when the object goes.
class PidFile {
 public:
  static Result<PidFile> write(const std::filesystem::path& path);
  PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();

 private:
  explicit PidFile(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace egalaxyd
