// Output for a terminal: no line is wider than it has columns.
#pragma once

#include <cstddef>
#include <ostream>
#include <streambuf>
#include <string>
#include <string_view>

namespace egalaxyd::ctl {

/// The least that a terminal has.
inline constexpr std::size_t kColumns = 80;

/// Columns that `text` takes, at most. Colours take none.
std::size_t columnsOf(std::string_view text);

/// `line` in lines of at most `width` columns, cut behind spaces where there are some; those that
/// continue it are indented. Nothing is left out. Colours take no columns.
std::string folded(std::string_view line, std::size_t width = kColumns);

/// A stream that folds each line on its way to another.
class FoldedOutput : public std::ostream {
 public:
  explicit FoldedOutput(std::ostream& target) : std::ostream(nullptr), buffer_(target) {
    rdbuf(&buffer_);
  }
  ~FoldedOutput() override { flush(); }

 private:
  class Buffer : public std::streambuf {
   public:
    explicit Buffer(std::ostream& target) : out_(target) {}

   protected:
    int_type overflow(int_type c) override;
    int sync() override;

   private:
    std::ostream& out_;
    std::string line_;
  };
  Buffer buffer_;
};

}  // namespace egalaxyd::ctl
