// The one place that catches exceptions: POCO's, and those of plug-ins.
#pragma once

#include <Poco/Exception.h>

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/base/result.h"

namespace egalaxyd {

/// Runs `call`; an exception becomes an Error whose message starts with `doing`.
template <class Call>
auto guarded(std::string_view doing, Call&& call) -> Result<std::invoke_result_t<Call>> {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Call>>) {
      std::forward<Call>(call)();
      return {};
    } else {
      return std::forward<Call>(call)();
    }
  } catch (const Poco::Exception& e) {
    return Error{ErrorCode::kIo, std::string(doing) + ": " + e.displayText()};
  } catch (const std::exception& e) {
    return Error{ErrorCode::kIo, std::string(doing) + ": " + e.what()};
  }
}

/// As guarded(), and stops what is no std::exception too: for code of plug-ins.
template <class Call>
auto contained(std::string_view doing, Call&& call) -> Result<std::invoke_result_t<Call>> {
  try {
    return guarded(doing, std::forward<Call>(call));
  } catch (...) {
    return Error{ErrorCode::kIo, std::string(doing) + ": threw what is no std::exception"};
  }
}

}  // namespace egalaxyd
