// What a complaint says of a value or a name of the file that is not what its key allows.
#pragma once

#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_schema.h"

namespace egalaxyd {

/// Of a text, an integer or a boolean; nullopt: it is something else.
std::optional<Scalar> scalarOf(const toml::node& node);

/// "a", "b"
std::string quotedList(const std::vector<std::string>& names, std::string_view separator);

/// "expected an array, found a string; allowed: …"
std::string wrongType(std::string_view expected, const toml::node& node, std::string_view allowed);

/// "unknown key; did you mean …", or what is known here.
std::string unknownName(std::string_view what, std::string_view name,
                        const std::vector<std::string>& known);

/// "; did you mean …?", or nothing.
std::string perhaps(const Scalar& found, const std::vector<std::string>& names);

/// The same value as another type: 4 for "4", "1.3" for 1.3, "30s" for 30, "x" for ["x"].
std::vector<Scalar> otherWritings(const toml::node& node);

/// "; write …" where the value would be right if it were written otherwise.
template <class T>
std::string writtenOtherwise(const toml::node& node, const Form<T>& form) {
  if (form.secret || form.secretIfWrong) return {};
  for (const Scalar& value : otherWritings(node)) {
    const bool fits = form.types.find(typeName(value)) != std::string::npos && form.read(value);
    if (fits) return "; write " + tomlText(value);
  }
  return {};
}

/// "; write …" for a list that is no array.
template <class T>
std::string asArray(const toml::node& node, const std::vector<T>& defaults, const Form<T>& form) {
  const auto value = scalarOf(node);
  const bool fits =
      value && form.types.find(typeName(*value)) != std::string::npos && form.read(*value);
  if (fits && !form.secret) return fmt::format("; write [{}]", tomlText(*value));
  if (!form.example.empty()) return fmt::format("; write for example [{}]", form.example);
  if (defaults.empty()) return {};
  return fmt::format("; write for example [{}]", tomlText(form.write(defaults.front())));
}

}  // namespace egalaxyd
