#include "common/postgres/copy_batch.h"

#include "common/base/path.h"

namespace egalaxyd::postgres {
namespace {

constexpr std::size_t kMostRows = 2'000;
constexpr std::size_t kMostBytes = 1024 * 1024;

}  // namespace

std::string textFor(std::string_view text) {
  std::string fit;
  fit.reserve(text.size());
  while (!text.empty()) {
    const bool ascii = text.front() > 0;
    const std::size_t length = ascii ? 1 : printableLength(text);
    fit += length == 0 ? std::string_view("?") : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return fit;
}

CopyBatch::CopyBatch(Connection& db, std::string_view statement, std::string_view kinds)
    : db_(db), statement_(statement) {
  for (const char kind : kinds) columns_.push_back({kind == 't', {}, {}});
}

void CopyBatch::add(std::string_view text) {
  bytes_ += text.size();
  columns_[next_++].texts.push_back(textFor(text));
}

void CopyBatch::add(std::int64_t number) { columns_[next_++].numbers.push_back(number); }

Result<void> CopyBatch::endRow() {
  next_ = 0;
  return ++rows_ < kMostRows && bytes_ < kMostBytes ? Result<void>() : flush();
}

Result<void> CopyBatch::flush() {
  if (rows_ == 0) return {};
  std::vector<std::string> arrays;
  for (Column& column : columns_) {
    arrays.push_back(column.isText ? arrayOf(column.texts) : arrayOf(column.numbers));
    column.texts.clear();
    column.numbers.clear();
  }
  rows_ = 0;
  bytes_ = 0;
  std::vector<Value> values;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    values.push_back(columns_[i].isText ? Value::ofTexts(arrays[i]) : Value::ofNumbers(arrays[i]));
  }
  const auto done = db_.ask(statement_, values, kCopyPatience);
  return done ? Result<void>() : done.error();
}

}  // namespace egalaxyd::postgres
