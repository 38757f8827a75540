// Uploads of the same file, one after the other.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "worker/base/task.h"

namespace egalaxyd {

/// First come, first served. Loop thread only; must outlive the turns.
class FileTurns {
 public:
  /// Held for one file, until it is destroyed. Move-only.
  class Turn {
   public:
    Turn() = default;
    Turn(FileTurns& turns, std::string file) : turns_(&turns), file_(std::move(file)) {}
    Turn(Turn&& other) noexcept
        : turns_(std::exchange(other.turns_, nullptr)), file_(std::move(other.file_)) {}
    Turn& operator=(Turn&& other) noexcept {
      std::swap(turns_, other.turns_);
      std::swap(file_, other.file_);
      return *this;
    }
    ~Turn() {
      if (turns_ != nullptr) turns_->end(file_);
    }
    explicit operator bool() const { return turns_ != nullptr; }

   private:
    FileTurns* turns_ = nullptr;
    std::string file_;
  };

  FileTurns() = default;
  FileTurns(const FileTurns&) = delete;
  FileTurns& operator=(const FileTurns&) = delete;

  /// An Error after close().
  Async<Result<Turn>> take(std::string file);
  /// Whoever waits gets an Error.
  void close();

 private:
  using Done = Async<Result<Turn>>::Done;
  void end(const std::string& file);

  std::map<std::string, std::deque<Done>> waiting_;  ///< by the file that somebody has the turn of
  bool closed_ = false;
};

}  // namespace egalaxyd
