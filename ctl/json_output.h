// Values for machines: one JSON document on a stream.
#pragma once

#include <Poco/Dynamic/Var.h>
#include <Poco/JSON/Object.h>
#include <Poco/JSON/Stringifier.h>

#include <ostream>

namespace egalaxyd {

/// An object whose members keep the order in which they were set.
inline Poco::JSON::Object jsonObject() { return Poco::JSON::Object(Poco::JSON_PRESERVE_KEY_ORDER); }

inline void printJson(std::ostream& out, const Poco::Dynamic::Var& value) {
  Poco::JSON::Stringifier::stringify(value, out, 2);
  out << '\n';
}

}  // namespace egalaxyd
