// Numbers and texts one after the other in a string, for messages between our own processes.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace egalaxyd {

/// Builds one. Numbers are in the machine's own order: both ends run on it.
class Packer {
 public:
  template <class Number>
  requires std::is_arithmetic_v<Number> Packer& number(Number value) {
    const std::size_t at = packed_.size();
    packed_.resize(at + sizeof value);
    std::memcpy(packed_.data() + at, &value, sizeof value);
    return *this;
  }
  /// May hold any byte; at most 4 GiB.
  Packer& text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    packed_.append(value);
    return *this;
  }
  std::string take() && { return std::move(packed_); }

 private:
  std::string packed_;
};

/// Reads one that anybody may have made. What is not there is zero or empty, and makes the whole
/// invalid.
class Unpacker {
 public:
  explicit Unpacker(std::string_view packed) : rest_(packed) {}

  template <class Number>
  requires std::is_arithmetic_v<Number> Number number() {
    Number value{};
    if (rest_.size() < sizeof value) return fail(), value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  /// A view of what was given to the constructor.
  std::string_view text() {
    const auto size = number<std::uint32_t>();
    if (rest_.size() < size) return fail(), std::string_view();
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }
  /// How many entries a list has, each of `least` bytes or more.
  std::uint32_t count(std::size_t least) {
    const auto entries = number<std::uint32_t>();
    if (entries > rest_.size() / least) return fail(), 0;
    return entries;
  }

  /// Whether all of it was there so far.
  bool valid() const { return valid_; }
  /// And nothing is left.
  bool complete() const { return valid_ && rest_.empty(); }

 private:
  void fail() {
    valid_ = false;
    rest_ = {};
  }

  std::string_view rest_;
  bool valid_ = true;
};

}  // namespace egalaxyd
