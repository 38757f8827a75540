// Questions to the database, each answered by a process of its own: SQLite may wait for a disk or a
// lock, the master may not.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "common/unique_fd.h"
#include "master/forked_process.h"

namespace egalaxyd {

/// Master only, on its loop. What a process has to say it writes into a memory file, whole, before
/// it ends: no one waits for a reader.
class QueryRunner {
 public:
  /// Processes at once.
  static constexpr std::size_t kMost = 4;
  /// Then a process is killed.
  static constexpr std::chrono::seconds kPatience{10};
  /// Longest text that is taken.
  static constexpr std::size_t kMostBytes = 4 * 1024 * 1024;

  /// In the process, with no descriptor open but the standard ones: gives the text.
  using Work = std::function<std::string()>;
  /// In the master, once, never from within run(): the text, or why there is none.
  using Done = std::function<void(Result<std::string> text)>;

  explicit QueryRunner(EventLoop& loop);
  /// Kills what still runs; those are not told.
  ~QueryRunner();
  QueryRunner(const QueryRunner&) = delete;
  QueryRunner& operator=(const QueryRunner&) = delete;

  /// kBusy: too many at once. `done` is then not called.
  Result<void> run(const Work& work, Done done);

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Query;
  void onEnded(Query& query);

  EventLoop& loop_;
  std::vector<std::unique_ptr<Query>> queries_;
};

}  // namespace egalaxyd
