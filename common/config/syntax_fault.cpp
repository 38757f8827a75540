#include "common/config/syntax_fault.h"

#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/path.h"
#include "common/config/config_schema.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool isBare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

bool parses(std::string_view line) {
  try {
    const toml::table unused = toml::parse(line);
    return true;
  } catch (const toml::parse_error&) {
    return false;
  }
}

/// The keys that lead to the only value of `toml`, or to its innermost table.
std::vector<std::string> keysOf(std::string_view toml) {
  std::vector<std::string> keys;
  try {
    const toml::table table = toml::parse(toml);
    for (const toml::table* at = &table; at != nullptr && at->size() == 1;) {
      const auto entry = at->begin();
      keys.emplace_back(entry->first.str());
      at = entry->second.as_table();
    }
  } catch (const toml::parse_error&) {
    keys.clear();
  }
  return keys;
}

/// What the schema says of a key by its name alone, whichever table it stands in.
struct KeyKinds {
  std::set<std::string, std::less<>> flags, lists, secrets;

  template <class T>
  void key(std::string_view name, const T&, const Form<T>&) {
    if constexpr (std::is_same_v<T, bool>) flags.emplace(name);
  }
  template <class T>
  void list(std::string_view name, const std::vector<T>&, const Form<T>& form) {
    lists.emplace(name);
    if (form.secret || form.secretIfWrong) secrets.emplace(name);
  }
  void named(std::string_view name, const auto& values, const auto& form) {
    list(name, values, form);
  }
  void people(std::string_view, const auto&) {}
  void map(std::string_view name, const auto&, Secrecy secrecy = Secrecy::kPublic) {
    if (secrecy == Secrecy::kSecret) secrets.emplace(name);
  }
  template <class T>
  void tables(std::string_view, std::vector<T>&) {
    T values;
    describe(*this, values);
  }
  void rules(std::string_view, const auto&) {}
  template <class T>
  void section(std::string_view, T& values) {
    describe(*this, values);
  }
  template <class T>
  void section(std::string_view, std::optional<T>&) {
    T values;
    describe(*this, values);
  }
  void toggle(std::string_view name, auto& values) {
    flags.emplace(name);
    section(name, values);
  }
  void mounts(std::string_view, const auto&) {}
  void sites(std::string_view, const auto&) {}
};

const KeyKinds& keyKinds() {
  static const KeyKinds kinds = [] {
    KeyKinds all;
    all.lists.emplace("include");
    Config config;
    describe(all, config);
    SiteConfig site;
    describe(all, site);
    for (const std::string_view name : kModuleNames) {
      ModuleArgs args = *moduleArgs(name);
      std::visit([&](auto& values) { describe(all, values); }, args);
    }
    return all;
  }();
  return kinds;
}

/// The index behind the string that begins at `from` with a quote; nullopt: it is not closed.
std::optional<std::size_t> endOfString(std::string_view text, std::size_t from) {
  const char quote = text[from];
  for (std::size_t i = from + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return std::nullopt;
}

/// Where `wanted` stands in `text` outside of quotes; npos.
std::size_t findOutside(std::string_view text, std::string_view wanted) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (wanted.find(text[i]) != std::string_view::npos) return i;
    if (text[i] != '"' && text[i] != '\'') continue;
    const auto end = endOfString(text, i);
    if (!end) return std::string_view::npos;
    i = *end - 1;
  }
  return std::string_view::npos;
}

std::string quoted(std::string_view text) { return tomlText(std::string(text)); }

// ---- characters that only look right ------------------------------------------------------------

enum class Lookalike { kDouble, kSingle, kSpace, kNothing };
struct Strange {
  std::string_view bytes;
  Lookalike meant;
  std::string_view name;
};
constexpr std::array<Strange, 20> kStrange{{{"“", Lookalike::kDouble, "“"},
                                            {"”", Lookalike::kDouble, "”"},
                                            {"„", Lookalike::kDouble, "„"},
                                            {"‟", Lookalike::kDouble, "‟"},
                                            {"«", Lookalike::kDouble, "«"},
                                            {"»", Lookalike::kDouble, "»"},
                                            {"＂", Lookalike::kDouble, "＂"},
                                            {"″", Lookalike::kDouble, "″"},
                                            {"‘", Lookalike::kSingle, "‘"},
                                            {"’", Lookalike::kSingle, "’"},
                                            {"‚", Lookalike::kSingle, "‚"},
                                            {"`", Lookalike::kSingle, "`"},
                                            {"´", Lookalike::kSingle, "´"},
                                            {"\u00a0", Lookalike::kSpace, "U+00A0"},
                                            {"\u202f", Lookalike::kSpace, "U+202F"},
                                            {"\u2003", Lookalike::kSpace, "U+2003"},
                                            {"\u3000", Lookalike::kSpace, "U+3000"},
                                            {"\u200b", Lookalike::kNothing, "U+200B"},
                                            {"\u2060", Lookalike::kNothing, "U+2060"},
                                            {"\ufeff", Lookalike::kNothing, "U+FEFF"}}};

const Strange* strangeAt(std::string_view text) {
  const auto found = std::ranges::find_if(
      kStrange, [text](const Strange& each) { return text.starts_with(each.bytes); });
  return found == kStrange.end() ? nullptr : &*found;
}

struct Plain {
  std::string line;
  const Strange* first = nullptr;  ///< what was replaced; nullptr: nothing
};

/// The line with plain quotes and spaces outside of its strings.
class PlainLine {
 public:
  explicit PlainLine(std::string_view line) {
    while (!line.empty() && !(open_ == 0 && line.starts_with('#'))) take(line);
    text += line;
    if (open_ != 0 && !openedByStrange_ && last_ != std::string::npos) closeAtLast();  // "text”
  }

  std::string text;
  const Strange* first = nullptr;  ///< what was replaced; nullptr: nothing

 private:
  void take(std::string_view& line) {
    const Strange* strange = strangeAt(line);
    const bool escape = strange == nullptr && open_ == '"' && line.front() == '\\';
    const std::string_view here = strange ? strange->bytes : line.substr(0, escape ? 2 : 1);
    line.remove_prefix(here.size());
    const char quote = strange                       ? quoteMeant(*strange)
                       : here == "\"" || here == "'" ? here[0]
                                                     : '\0';
    const bool closes = quote == open_ && (strange == nullptr || openedByStrange_);
    if (open_ != 0 && quote != 0 && closes) {
      text += std::exchange(open_, '\0');
    } else if (open_ != 0) {
      if (strange && quote != 0) last_ = text.size();
      text += here;
    } else {
      outside(strange, here, quote);
    }
  }
  void outside(const Strange* strange, std::string_view here, char quote) {
    open_ = quote;
    openedByStrange_ = strange != nullptr;
    if (strange == nullptr) {
      text += here;
      return;
    }
    if (first == nullptr) first = strange;
    if (quote != 0) text += quote;
    if (strange->meant == Lookalike::kSpace) text += ' ';
  }
  void closeAtLast() {
    first = strangeAt(std::string_view(text).substr(last_));
    text.replace(last_, first->bytes.size(), 1, open_);
  }
  static char quoteMeant(const Strange& strange) {
    if (strange.meant == Lookalike::kDouble) return '"';
    return strange.meant == Lookalike::kSingle ? '\'' : '\0';
  }

  char open_ = 0;  ///< the quote of the string that `text` ends within
  bool openedByStrange_ = false;
  std::size_t last_ = std::string::npos;  ///< of such a quote within that string
};

// ---- dotted keys --------------------------------------------------------------------------------

struct Segment {
  std::string text;
  bool quoted = false;
};

/// Split at dots, blanks and before a '/' that follows something: sites "a"/b c.
std::vector<Segment> segmentsOf(std::string_view written) {
  std::vector<Segment> segments;
  bool fresh = true;  // the next character begins a segment
  for (std::size_t i = 0; i < written.size();) {
    const char c = written[i];
    if (c == '"' || c == '\'') {
      const std::size_t end = endOfString(written, i).value_or(written.size() + 1);
      segments.push_back({std::string(written.substr(i + 1, end - i - 2)), true});
      i = end;
      fresh = true;
    } else if (c == '.' || kBlank.find(c) != std::string_view::npos) {
      fresh = true;
      ++i;
    } else {
      const bool path = c == '/' && !(segments.empty() || segments.back().text.starts_with('/'));
      if (fresh || path || segments.back().quoted) segments.push_back({});
      segments.back().text += c;
      fresh = false;
      ++i;
    }
  }
  return segments;
}

bool isOneOf(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, text) != names.end();
}

/// Tables within a site or a path that have names of their own.
bool isInnerTable(const Segment& segment) {
  return !segment.quoted && isOneOf(segment.text, {"sites", "upload", "mime", "args"});
}

/// `segments[at]` and the unquoted ones behind it that belong to the same name.
std::string joined(const std::vector<Segment>& segments, std::size_t& at) {
  std::string name = segments[at].text;
  const bool alone = segments[at++].quoted;
  while (!alone && at < segments.size() && !segments[at].quoted &&
         !segments[at].text.starts_with('/') && !isInnerTable(segments[at])) {
    name += '.' + segments[at++].text;
  }
  return name;
}

// ---- values -------------------------------------------------------------------------------------

std::string mendScalar(std::string_view value, std::string_view key) {
  const std::string lower = lowerCase(value);
  if (keyKinds().flags.contains(key)) {
    if (isOneOf(lower, {"true", "yes", "on", "\"true\""})) return "true";
    if (isOneOf(lower, {"false", "no", "off", "\"false\""})) return "false";
  }
  if (parses("x = " + std::string(value))) return std::string(value);
  while (!value.empty() && (value.front() == '"' || value.front() == '\'')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '"' || value.back() == '\'')) value.remove_suffix(1);
  // In a folder's name of another system backslashes are meant as such.
  const bool raw =
      value.find('\\') != std::string_view::npos && value.find('\'') == std::string_view::npos;
  return raw ? fmt::format("'{}'", value) : quoted(value);
}

/// The elements of an array without its brackets, each as it should be.
std::string mendElements(std::string_view text, std::string_view key) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == ',' || kBlank.find(c) != std::string_view::npos) {
      ++i;
      continue;
    }
    std::size_t end = text.find_first_of(", \t\r", i);
    if (c == '"' || c == '\'') end = endOfString(text, i).value_or(end);
    end = std::min(end, text.size());
    out += (out.empty() ? "" : ", ") + mendScalar(text.substr(i, end - i), key);
    i = end;
  }
  return out;
}

/// Without what was meant as a comment.
std::string_view withoutComment(std::string_view value) {
  const std::size_t at = findOutside(value, "#");
  const bool isComment = at != std::string_view::npos && at > 0 &&
                         kBlank.find(value[at - 1]) != std::string_view::npos;
  return isComment ? trimmed(value.substr(0, at)) : value;
}

struct Value {
  std::string text;
  std::string why;
};

Value mendArray(std::string_view value, std::string_view key) {
  const bool closed = value.ends_with(']') && value.size() > 1;
  value.remove_prefix(1);
  // An IPv6 address has brackets too: [[::1]:1965].
  if (closed) value.remove_suffix(1);
  return {"[" + mendElements(value, key) + "]",
          closed ? "texts in an array stand in quotes, with a comma between them"
                 : "the [ of this array is not closed"};
}

Value mendValue(std::string_view value, std::string_view key) {
  const bool isList = keyKinds().lists.contains(key);
  value = withoutComment(value);
  while (value.ends_with(';') || value.ends_with(','))
    value = trimmed(value.substr(0, value.size() - 1));
  if (parses(fmt::format("x = {}", value))) {
    return {std::string(value), "nothing but a comment may follow a value"};
  }
  if (value.starts_with('[')) return mendArray(value, key);
  if (isList) return {"[" + mendElements(value, key) + "]", "several values stand in [ ]"};
  if (value.starts_with('"') || value.starts_with('\'')) {
    const auto end = endOfString(value, 0);
    if (!end) return {mendScalar(value, key), "the quote is not closed"};
    if (*end == value.size()) {
      return {mendScalar(value, key), R"(a \ begins an escape within " ")"};
    }
    return {std::string(value.substr(0, *end)), "something follows the closing quote"};
  }
  const std::string scalar = mendScalar(value, key);
  const bool isFlag = scalar == "true" || scalar == "false";
  return {scalar, isFlag ? "a switch is true or false" : "text stands in quotes"};
}

// ---- the line at which the parser stopped -------------------------------------------------------

class Diagnosis {
 public:
  Diagnosis(const std::vector<std::string>& lines, std::size_t at, std::string_view description)
      : lines_(lines), description_(description) {
    fault_.line = std::clamp<std::size_t>(at, 1, std::max<std::size_t>(lines.size(), 1));
  }

  SyntaxFault run() {
    const bool found = isAlreadyThere() || isStrange() || isInArray() || isHeaderFault() ||
                       isComment() || isKeyFault();
    if (!found) {
      fault_.text = fmt::format("not valid TOML: {}", reason());
      fault_.key.clear();
    }
    return std::move(fault_);
  }

 private:
  std::string_view line() const {
    return lines_.empty() ? std::string_view() : trimmed(lines_[fault_.line - 1]);
  }
  bool says(std::string_view text) const {
    return description_.find(text) != std::string_view::npos;
  }
  /// Without the parser's name for what it was doing.
  std::string_view reason() const {
    constexpr std::string_view kWhile = "Error while parsing ";
    const std::size_t colon = description_.find(": ");
    if (!description_.starts_with(kWhile) || colon == std::string_view::npos) return description_;
    return description_.substr(colon + 2);
  }

  /// The header that the line stands below; "" at the top.
  std::string header() const {
    for (std::size_t i = fault_.line - 1; i > 0; --i) {
      const std::string text(trimmed(lines_[i - 1]));
      if (isHeader(text) && parses(text)) return text + "\n";
    }
    return {};
  }
  static std::string dotted(const std::string& toml) {
    std::string out;
    for (const std::string& key : keysOf(toml)) out += (out.empty() ? "" : ".") + tomlKey(key);
    return out;
  }
  std::string dottedKey(std::string_view key) const {
    return dotted(header() + std::string(key) + " = 0");
  }

  /// `mended` is what to write, if it is TOML; `shown` instead of it when it is a secret.
  bool say(std::string_view why, const std::string& mended, const std::string& shown = {}) {
    if (!parses(mended)) return false;
    fault_.text = fmt::format("{}; write {}", why, shown.empty() ? mended : shown);
    fault_.instead = mended;
    return true;
  }
  bool sayOfKey(std::string_view key, const Value& mended) {
    const bool isList = keyKinds().lists.contains(lastName(key));
    const std::string shown = fmt::format("{} = {}", key, isList ? "[\"…\"]" : "\"…\"");
    return say(mended.why, fmt::format("{} = {}", key, mended.text), isSecret(key) ? shown : "");
  }

  static std::string lastName(std::string_view key) {
    const auto keys = keysOf(std::string(key) + " = 0");
    return keys.empty() ? std::string() : keys.back();
  }
  bool isSecret(std::string_view key) const {
    const auto keys = keysOf(header() + std::string(key) + " = 0");
    return std::ranges::any_of(keys,
                               [](const auto& each) { return keyKinds().secrets.contains(each); });
  }

  bool isAlreadyThere() {
    if (!says("cannot redefine") && !says("cannot insert")) return false;
    const bool table = isHeader(line());
    const std::size_t equals = findOutside(line(), "=");
    const auto key = trimmed(line().substr(0, table ? line().size() : equals));
    const std::string path = table ? std::string(line()) : header() + std::string(key) + " = 0";
    const std::string earlier = lineOf(keysOf(path));
    fault_.key = dotted(path);
    if (!table) {
      fault_.text = fmt::format("is set twice; {}keep one of them", earlier);
      if (equals != std::string_view::npos) fault_.instead = "";
      return true;
    }
    fault_.text = fmt::format(
        "this table is there already; {}bring the keys of both together there", earlier);
    // Its keys belong to no table now: they are left out.
    std::size_t next = fault_.line;
    while (next < lines_.size() && !isHeader(lines_[next])) ++next;
    fault_.lines = next - fault_.line + 1;
    fault_.instead = "";
    return true;
  }

  /// "it stands in line 3; " for the first of what these keys lead to.
  std::string lineOf(const std::vector<std::string>& keys) const {
    std::string before;
    for (std::size_t i = 0; i + 1 < fault_.line; ++i) before += lines_[i] + '\n';
    try {
      const toml::table table = toml::parse(before);
      const toml::table* at = &table;
      std::size_t found = 0;
      for (auto key = keys.begin(); key != keys.end() && at != nullptr; ++key) {
        const auto entry = at->find(*key);
        if (entry == at->end()) break;
        found = entry->first.source().begin.line;
        at = entry->second.as_table();
      }
      return found == 0 ? "" : fmt::format("it stands in line {} too; ", found);
    } catch (const toml::parse_error&) {
      return {};
    }
  }

  bool isStrange() {
    const PlainLine plain(line());
    if (plain.first == nullptr) return false;
    const std::size_t equals = findOutside(plain.text, "=");
    const bool table = isHeader(plain.text);
    if (!table && equals != std::string::npos) {
      fault_.key = dottedKey(trimmed(std::string_view(plain.text).substr(0, equals)));
    }
    const bool isQuote = plain.first->meant <= Lookalike::kSingle;
    const bool secret = !table && equals != std::string::npos &&
                        isSecret(trimmed(std::string_view(plain.text).substr(0, equals)));
    fault_.text = fmt::format(
        "found {}, {}", plain.first->name,
        isQuote ? R"(a quote of another kind; only plain ones (" or ') begin and end a text)"
                : "a character that looks like a space or like nothing; only plain spaces and tabs "
                  "may stand there");
    if (!secret && parses(plain.text)) fault_.text += "; write " + plain.text;
    fault_.instead = plain.text;
    return true;
  }

  /// The line of a key whose array is open where the parser stopped; 0: none.
  std::size_t openArray() const {
    for (std::size_t i = fault_.line; i > 0; --i) {
      const std::string_view text = withoutComment(trimmed(lines_[i - 1]));
      const std::size_t equals = findOutside(text, "=");
      const bool isKey = equals != std::string_view::npos;
      const bool opens = isKey && trimmed(text.substr(equals + 1)).starts_with('[');
      const bool closes = text.ends_with(']');
      if (opens && !closes) return i;
      if (i != fault_.line && (isKey || closes)) return 0;
    }
    return 0;
  }

  bool isInArray() {
    const std::size_t opener = openArray();
    if (opener == 0) return false;
    const std::string_view opening = trimmed(lines_[opener - 1]);
    const std::size_t equals = findOutside(opening, "=");
    const auto key = trimmed(opening.substr(0, equals));
    const auto value = withoutComment(trimmed(opening.substr(equals + 1)));
    const std::string name = lastName(key);
    const bool secret = isSecret(key);
    fault_.key = dottedKey(key);
    const bool isOneLine = value.size() > 1 && (opener == fault_.line || !isElement(line()));
    if (isOneLine) {
      fault_.line = opener;
      return sayOfKey(key, mendArray(value, name));
    }
    if (opener == fault_.line || !isElement(line())) {
      fault_.text =
          fmt::format("the [ of line {} is not closed; write ] behind its last value", opener);
      return true;
    }
    const std::string_view elements = withoutComment(line());
    std::string mended;
    if (says("expected comma") && parses(fmt::format("x = [{}]", elements))) {
      fault_.text = "a comma is missing between this value and the one before it";
      mended = ", " + std::string(elements);
    } else {
      const bool closes = elements.ends_with(']');
      mended = mendElements(elements.substr(0, elements.size() - (closes ? 1 : 0)), name);
      fault_.text = "texts in an array stand in quotes, with a comma between them";
      if (!secret) fault_.text += "; write " + mended;
      mended += closes ? "]" : ",";
    }
    fault_.instead = mended;
    return true;
  }
  /// Whether this may be a line of an array.
  static bool isElement(std::string_view text) {
    return !text.empty() && !isHeader(text) && findOutside(text, "=") == std::string_view::npos;
  }

  bool isHeaderFault() {
    if (!isHeader(line())) return false;
    std::string_view inner = withoutComment(line());
    const bool closed = inner.ends_with(']');
    inner.remove_prefix(inner.starts_with("[[") ? 2 : 1);
    while (inner.ends_with(']')) inner.remove_suffix(1);
    const std::string name = quotedKey(inner);
    fault_.key = dotted("[" + name + "]");
    const std::size_t quote = findOutside(inner, "\"'");
    const bool isCut = quote != std::string_view::npos && !endOfString(inner, quote);
    const std::string why =
        isCut    ? "the quote is not closed"
        : closed ? "what has other characters than letters, digits, - and _ stands in quotes"
                 : "a table's name stands between [ and ], alone on its line";
    return !name.empty() && say(why, "[" + name + "]");
  }

  bool isComment() {
    for (const std::string_view mark : {"//", ";", "--", "/*", "!", "%"}) {
      if (!line().starts_with(mark)) continue;
      fault_.text = fmt::format("found {}; a comment begins with #", mark);
      fault_.instead = "#";
      return true;
    }
    return false;
  }

  bool isKeyFault() {
    const std::size_t divider = findOutside(line(), "=");
    if (divider == std::string_view::npos) return isWithoutEquals();
    const std::string_view key = trimmed(line().substr(0, divider));
    const std::string_view value = trimmed(line().substr(divider + 1));
    const bool keyIsFine = parses(std::string(key) + " = 0");
    const std::string quotedWhole = key.starts_with('.') ? tomlKey(key) : quotedKey(key);  // .gmi
    const std::string mendedKey = keyIsFine ? std::string(key) : quotedWhole;
    if (mendedKey.empty()) return false;
    fault_.key = dottedKey(mendedKey);
    const std::string_view bareValue = withoutComment(value);
    if (bareValue.empty() || bareValue.front() == '#') {
      fault_.text = "has no value; write one behind the =, or # before the line";
      fault_.instead = "";
      return true;
    }
    if (bareValue.starts_with('{') || bareValue.starts_with("\"\"\"") ||
        bareValue.starts_with("'''")) {
      return isLongValue(bareValue);
    }
    Value mended = mendValue(value, lastName(mendedKey));
    if (!keyIsFine && parses("x = " + std::string(value))) {
      mended.why = "what has other characters than letters, digits, - and _ stands in quotes";
    }
    return sayOfKey(mendedKey, mended);
  }

  bool isLongValue(std::string_view value) {
    if (value.starts_with('{')) {
      fault_.text = value.ends_with('}')
                        ? fmt::format("not valid TOML: {}", reason())
                        : "what begins with { must end with } on the same line; write it as a "
                          "table of its own, or on one line";
      return true;
    }
    fault_.text = fmt::format("the text that begins with {} is not closed; write {} behind it",
                              value.substr(0, 3), value.substr(0, 3));
    return true;
  }

  /// `root: "/srv"`, `root "/srv"`.
  bool isWithoutEquals() {
    std::size_t end = 0;
    while (end < line().size() && (isBare(line()[end]) || line()[end] == '.')) ++end;
    const std::string_view key = line().substr(0, end);
    std::string_view value = trimmed(line().substr(end));
    if (key.empty() || !parses(std::string(key) + " = 0")) return false;
    fault_.key = dottedKey(key);
    if (value.empty()) {
      fault_.text = "has no value; write = and one behind it, or # before the line";
      fault_.instead = "";
      return true;
    }
    if (value.starts_with(':')) value = trimmed(value.substr(1));
    if (value.empty()) {
      fault_.text = fmt::format(
          "found \"{}\", as in YAML; a configuration is TOML: man egalaxyd.toml", line());
      return true;
    }
    Value mended = mendValue(value, lastName(key));
    mended.why = "a = stands between a key and its value";
    return sayOfKey(key, mended);
  }

  const std::vector<std::string>& lines_;
  std::string_view description_;
  SyntaxFault fault_;
};

std::size_t lineAt(std::string_view text, std::size_t offset) {
  return 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, offset), '\n'));
}

/// Where `text` ceases to be UTF-8; npos.
std::size_t badByte(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    std::size_t length = byte < 0x80 ? 1 : printableLength(text.substr(at));
    if (length == 0 && byte == 0xc2) length = 2;  // a control character
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<SyntaxFault> encodingFault(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    return SyntaxFault{1, "", "the file is UTF-16; save it as UTF-8"};
  }
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos) {
    return SyntaxFault{lineAt(text, at), "",
                       "found a byte 0, so this is no text; is it the right file?"};
  }
  if (const std::size_t at = badByte(text); at != std::string_view::npos) {
    const auto byte = static_cast<unsigned char>(text[at]);
    return SyntaxFault{lineAt(text, at), "",
                       fmt::format("found the byte 0x{:02x}, which is not UTF-8; save the file as "
                                   "UTF-8, or see whether it is the right one",
                                   byte)};
  }
  if (text.starts_with("-----BEGIN ")) {
    return SyntaxFault{1, "", "this is a certificate or a key, not a configuration"};
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (text[first] == '{' || text[first] == '<')) {
    return SyntaxFault{lineAt(text, first), "",
                       "this looks like JSON or XML; a configuration is TOML: man egalaxyd.toml"};
  }
  return std::nullopt;
}

SyntaxFault syntaxFault(const std::vector<std::string>& lines, std::size_t at,
                        std::string_view description) {
  return Diagnosis(lines, at, description).run();
}

std::string quotedKey(std::string_view written) {
  const std::vector<Segment> segments = segmentsOf(written);
  if (segments.empty()) return {};
  const bool isSite = segments[0].text == "sites";
  std::string out;
  for (std::size_t at = 0; at < segments.size();) {
    const bool isName = isSite && at > 0 && !isInnerTable(segments[at]);
    const std::string name = isName ? joined(segments, at) : segments[at++].text;
    out += (out.empty() ? "" : ".") + tomlKey(name);
  }
  return out;
}

}  // namespace egalaxyd
