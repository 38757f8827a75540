// What may wait for a disk, a lock or a name server, each done by a process of its own: the master
// may not wait.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "master/child/forked_process.h"

namespace egalaxyd {

/// What its processes are for.
struct QuerySettings {
  std::size_t most = 4;               ///< processes at once
  std::chrono::seconds patience{10};  ///< then a process is killed
  std::string busy = "the database is being asked too much at once; try again";
  std::string late =
      "the database did not answer in time; it may be locked or its disk be slow: try again";
  std::string process = "the process that asked the database";
};

/// Master only, on its loop. A process writes its whole answer into a memory file (memfd) before it
/// ends, so that it never waits for a reader.
class QueryRunner {
 public:
  /// Longest text that is taken.
  static constexpr std::size_t kMostBytes = 4 * 1024 * 1024;

  /// In the process, with no descriptor open but the standard ones: gives the text.
  using Work = std::function<std::string()>;
  /// In the master, once, never from within run(): the text, or why there is none.
  using Done = std::function<void(Result<std::string> text)>;

  explicit QueryRunner(EventLoop& loop, QuerySettings settings = {});
  /// Kills what still runs; those are not told.
  ~QueryRunner();
  QueryRunner(const QueryRunner&) = delete;
  QueryRunner& operator=(const QueryRunner&) = delete;

  /// kBusy: too many at once. `done` is then not called. The process has `kept` open, too, if that
  /// is a descriptor.
  Result<void> run(const Work& work, Done done, int kept = -1);
  /// Blocks until none runs any more, or for `most`; for a start, whose loop does not run yet.
  void await(std::chrono::milliseconds most);

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Query;
  void onEnded(Query& query);

  EventLoop& loop_;
  const QuerySettings settings_;
  std::vector<std::unique_ptr<Query>> queries_;
};

/// The same without a loop, for a start and for a process that was forked itself: waits until the
/// process has ended, however long that takes. `process` names it in what is said when it died.
Result<std::string> runAndWait(const QueryRunner::Work& work, const std::string& process,
                               int kept = -1);

}  // namespace egalaxyd
