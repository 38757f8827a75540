// A folder of a test's own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace egalaxyd {

/// Made empty, mode 0700, under $TMPDIR (else /tmp); goes with everything in it, whatever modes a
/// test left behind. Failures throw: a test without its folder cannot go on.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  /// Absolute and without symbolic links.
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  /// Writes the whole file `name`, relative to path(), and makes the folders above it.
  std::filesystem::path write(std::string_view name, std::string_view text) const;
  /// Makes the folder `name` and those above it.
  std::filesystem::path makeDir(std::string_view name) const;
  /// The whole content of `name`.
  std::string read(std::string_view name) const;

 private:
  std::filesystem::path path_;
};

}  // namespace egalaxyd
