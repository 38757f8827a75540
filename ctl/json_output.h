// Values for machines: one JSON document on a stream.
#pragma once

#include <Poco/Dynamic/Var.h>
#include <Poco/JSON/Stringifier.h>

#include <ostream>

#include "common/control_protocol.h"

namespace egalaxyd {

inline void printJson(std::ostream& out, const Poco::Dynamic::Var& value) {
  Poco::JSON::Stringifier::stringify(value, out, 2);
  out << '\n';
}

}  // namespace egalaxyd
