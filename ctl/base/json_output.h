// Values for machines, one JSON document on a stream, and what people read of them.
#pragma once

#include <Poco/Dynamic/Var.h>

#include <iosfwd>
#include <string>

#include "common/base/path.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd::ctl {

/// A member as a line or a table shows it, without control characters; "-" where it is missing or
/// empty.
inline std::string cellOf(const Poco::JSON::Object& object, const std::string& name) {
  const auto value = object.get(name);
  const std::string text = value.isEmpty() ? "" : value.toString();
  return text.empty() ? "-" : printable(text);
}

/// POCO escapes C0 alone, and a terminal obeys C1, too.
void printJson(std::ostream& out, const Poco::Dynamic::Var& value);

}  // namespace egalaxyd::ctl
