// Values for machines, one JSON document on a stream, and what people read of them.
#pragma once

#include <Poco/Dynamic/Var.h>
#include <Poco/JSON/Stringifier.h>

#include <ostream>
#include <string>

#include "common/control_protocol.h"

namespace egalaxyd {

/// A member as a table shows it; "-" where it is missing or empty.
inline std::string cellOf(const Poco::JSON::Object& object, const std::string& name) {
  const auto value = object.get(name);
  const std::string text = value.isEmpty() ? "" : value.toString();
  return text.empty() ? "-" : text;
}

inline void printJson(std::ostream& out, const Poco::Dynamic::Var& value) {
  Poco::JSON::Stringifier::stringify(value, out, 2);
  out << '\n';
}

}  // namespace egalaxyd
