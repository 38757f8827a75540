#include "common/config/value_complaints.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "common/base/number.h"
#include "common/base/spelling.h"

namespace egalaxyd {
namespace {

std::string_view nodeType(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a float";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

}  // namespace

std::optional<Scalar> scalarOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return Scalar(text->get());
  if (const auto* number = node.as_integer()) return Scalar(number->get());
  if (const auto* flag = node.as_boolean()) return Scalar(flag->get());
  return std::nullopt;
}

std::string quotedList(const std::vector<std::string>& names, std::string_view separator) {
  std::string out;
  for (const std::string& name : names) {
    out += fmt::format("{}\"{}\"", out.empty() ? "" : separator, name);
  }
  return out;
}

std::string wrongType(std::string_view expected, const toml::node& node, std::string_view allowed) {
  return fmt::format("expected {}, found {}{}{}", expected, nodeType(node),
                     allowed.empty() ? "" : "; allowed: ", allowed);
}

std::string unknownName(std::string_view what, std::string_view name,
                        const std::vector<std::string>& known) {
  auto near = nearNames(name, known);
  if (near.empty()) return fmt::format("{}; allowed: {}", what, quotedList(known, ", "));
  near.resize(std::min<std::size_t>(near.size(), 2));
  return fmt::format("{}; did you mean {}?", what, quotedList(near, " or "));
}

std::string perhaps(const Scalar& found, const std::vector<std::string>& names) {
  const auto* text = std::get_if<std::string>(&found);
  auto near = text ? nearNames(*text, names) : std::vector<std::string>();
  if (near.empty()) return {};
  near.resize(1);
  return fmt::format("; did you mean {}?", quotedList(near, ""));
}

std::vector<Scalar> otherWritings(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    const auto only = array->size() == 1 ? scalarOf(array->front()) : std::nullopt;
    return only ? std::vector<Scalar>{*only} : std::vector<Scalar>{};
  }
  if (const auto* text = node.as_string()) {
    if (text->get() == "true" || text->get() == "false") return {text->get() == "true"};
    const auto number = parseNumber(text->get(), 0, INT64_MAX);
    return number ? std::vector<Scalar>{static_cast<std::int64_t>(*number)} : std::vector<Scalar>{};
  }
  if (const auto* number = node.as_integer()) {
    const std::string digits = std::to_string(number->get());
    return {digits, digits + "s", ":" + digits};
  }
  if (const auto* number = node.as_floating_point()) return {fmt::format("{}", number->get())};
  if (const auto* flag = node.as_boolean()) return {flag->get() ? "true" : "false"};
  return {};
}

}  // namespace egalaxyd
