// A response's body, pulled in chunks as the client reads: memory per client stays bounded however
// large the body and however slow the reader.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/unique_function.h"

namespace egalaxyd {

/// The usual size of a chunk: one full TLS record.
inline constexpr std::size_t kBodyChunk = 16 * 1024;
/// The largest chunk: fewer and larger system calls pay, but slow readers make us hold the rest.
inline constexpr std::size_t kLargestChunk = 64 * 1024;

/// Empties `held` and frees its buffer, which an assigned empty string would keep.
inline void dropBuffer(std::string& held) { std::string().swap(held); }

/// The result of one pull().
struct BodyChunk {
  enum class State {
    kMore,    ///< `bytes` is not empty; pull again
    kEnd,     ///< `bytes`, maybe empty, are the last
    kLater,   ///< nothing yet: `wake` will be called once, then pull again
    kFailed,  ///< the rest cannot be had; the connection ends without close_notify
  };
  State state;
  std::string_view bytes;  ///< valid until the next pull; may point into `scratch`
};

/// Loop thread only. Destroying it stops whatever it has under way.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// Called once, before the first pull(). The body calls `wake` on the loop when it can go on
  /// after kLater. As the last thing it does, `wake` may destroy this body, and with it itself.
  void onWake(UniqueFunction<void()> wake) { wake_ = std::move(wake); }
  /// Never waits; gives at most scratch.size() bytes, which is kBodyChunk or kLargestChunk, or
  /// somewhat less.
  virtual BodyChunk pull(std::span<char> scratch) = 0;
  /// Whether it ends by itself what does not go on after kLater.
  virtual bool keepsTime() const { return false; }

 protected:
  void wake() { wake_(); }

 private:
  UniqueFunction<void()> wake_;
};

/// A body that is completely in memory.
class StringBody final : public BodySource {
 public:
  explicit StringBody(std::string text) : text_(std::move(text)) {}
  BodyChunk pull(std::span<char> scratch) override {
    const std::string_view rest = std::string_view(text_).substr(sent_);
    const std::string_view chunk = rest.substr(0, scratch.size());
    sent_ += chunk.size();
    return {sent_ == text_.size() ? BodyChunk::State::kEnd : BodyChunk::State::kMore, chunk};
  }

 private:
  std::string text_;
  std::size_t sent_ = 0;
};

}  // namespace egalaxyd
