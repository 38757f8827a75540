#include "common/content/content_tools.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/base/sha256.h"
#include "common/base/unique_fd.h"
#include "common/content/upload_mark.h"
#include "tests/support/fake_database.h"
#include "tests/support/memory_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

class ContentToolsTest : public testing::Test {
 protected:
  ContentToolsTest() {
    DirectoryArgs args;
    args.root = dir_.makeDir("files");
    args.upload.emplace();
    args.upload->createDirectories = true;
    args.upload->keep.count = 3;
    SiteConfig site;
    site.host = "h";
    site.mounts.push_back({.path = "/up", .where = "", .args = args});
    config_.sites.push_back(site);
  }

  TellOfFile tell() {
    return [this](std::string_view host, std::string_view path, std::string_view what) {
      told_[std::string(host) + std::string(path)] = what;
    };
  }
  std::string held(const std::string& path) {
    const auto latest = must(storage_->latestUpload("h", path));
    if (!latest) return "no record";
    const auto content = must(storage_->contentOf(latest->id));
    std::string all;
    for (std::uint64_t part = 0; content; ++part) {
      const std::string bytes = must(storage_->readContent(*content, part));
      if (bytes.empty()) break;
      all += bytes;
    }
    EXPECT_EQ(latest->size, all.size());
    EXPECT_EQ(latest->sha256, sha256Hex(all));
    return all;
  }
  ImportedContent import() {
    return must(importContent(config_, *storage_, dir_ / "files", tell()));
  }
  using Told = std::map<std::string, std::string>;

  TempDir dir_;
  Config config_;
  Told told_;
  std::unique_ptr<Storage> storage_ = makeMemoryStorage();
};

TEST_F(ContentToolsTest, VerifyTellsWhatDiffers) {
  FakeDatabase database;
  database.put("h", "/up/same", "same");
  database.put("h", "/up/changed", "one");
  database.put("h", "/up/lost", "one");
  database.put("h", "/up/deleted", "one");
  database.put("h", "/up/deleted", "");
  database.put("h", "/up/gone", "one");
  database.put("h", "/up/gone", "");
  database.put("elsewhere", "/up/x", "not here");
  for (const char* name : {"same", "changed", "deleted", "own"}) {
    dir_.write(std::string("files/") + name, name);
  }
  const auto link = database.link();
  const auto verified = must(verifyContent(config_, *link, tell()));
  EXPECT_EQ(verified.different, 3u);
  EXPECT_EQ(told_, (Told{{"h/up/changed", "has other content"},
                         {"h/up/deleted", "is here, but was deleted"},
                         {"h/up/lost", "is missing"}}));
}

TEST_F(ContentToolsTest, ImportStoresWhatDiffersAndNothingTwice) {
  const std::string large = std::string(2 * kContentPart, 'x') + "y";
  const auto file = dir_.write("files/a", "one");
  dir_.write("files/deep/large", large);
  dir_.write("files/.hidden", "not this");
  EXPECT_EQ(import().stored, 2u);
  EXPECT_EQ(held("/up/a"), "one");
  EXPECT_EQ(held("/up/deep/large"), large);
  EXPECT_EQ(held("/up/.hidden"), "no record");
  EXPECT_EQ(told_.size(), 2u);
  const auto first = *must(storage_->latestUpload("h", "/up/a"));
  EXPECT_EQ(uploadOf(UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)).get()), first.id);
  EXPECT_EQ(must(storage_->latestUpload("h", "/up/deep/large"))->blocks, 2u);

  const auto again = import();
  EXPECT_EQ(again.stored, 0u);
  EXPECT_EQ(again.same, 2u);
}

TEST_F(ContentToolsTest, ImportKeepsWhatItReplaces) {
  dir_.write("files/a", "one");
  import();
  const auto first = must(storage_->latestUpload("h", "/up/a"))->id;
  dir_.write("files/a", "two");
  EXPECT_EQ(import().stored, 1u);
  EXPECT_EQ(held("/up/a"), "two");
  EXPECT_EQ(must(storage_->latestUpload("h", "/up/a"))->outcome, UploadOutcome::kReplaced);
  EXPECT_TRUE(must(storage_->findVersion(first)));
}

TEST_F(ContentToolsTest, ImportTakesFilesOfOneFolderAlone) {
  dir_.write("files/a", "one");
  dir_.write("files/deep/b", "two");
  must(importContent(config_, *storage_, dir_ / "files/deep", tell()));
  EXPECT_EQ(held("/up/a"), "no record");
  EXPECT_EQ(held("/up/deep/b"), "two");
}

TEST_F(ContentToolsTest, ImportRefusesAFolderThatTakesNoUploads) {
  dir_.write("other/a", "one");
  EXPECT_EQ(importContent(config_, *storage_, dir_ / "other", tell()).error().code,
            ErrorCode::kInvalid);
  EXPECT_EQ(importContent(config_, *storage_, dir_ / "missing", tell()).error().code,
            ErrorCode::kNotFound);
}

}  // namespace
}  // namespace egalaxyd
