// Errors as values. Everything that can fail at run time returns a Result; exceptions from POCO
// and the standard library stop at common/base/poco_seam.h.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace egalaxyd {

/// What kind of failure, as far as a caller decides by it.
enum class ErrorCode {
  kNotFound,    ///< no such file, host or record
  kPermission,  ///< the operating system or a rule says no
  kExists,      ///< already there, or held by another process
  kNoSpace,     ///< disk full, quota reached, descriptors or memory exhausted
  kBusy,        ///< may work later
  kInvalid,     ///< malformed input
  kAgain,       ///< nothing of it happened, and it may be done once more at once
  kUnknown,     ///< it may have happened or not
  kIo,          ///< anything else that the operating system reports
};

/// Whether what failed so may work later although nobody edits anything: a mount, an address or an
/// account may come, a disk may be emptied.
inline bool mayPass(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kNoSpace || code == ErrorCode::kBusy ||
         code == ErrorCode::kIo;
}

/// `message` is for the operator's log or terminal, never for a client.
struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string message;
};

/// Either a T or an Error. Asking for the one that is not there is a programming error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return error_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return std::get<1>(error_); }
  Error&& error() && { return std::get<1>(std::move(error_)); }

 private:
  std::variant<std::monostate, Error> error_;
};

}  // namespace egalaxyd
