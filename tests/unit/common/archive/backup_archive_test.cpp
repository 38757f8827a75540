#include "common/archive/backup_archive.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/archive/zstd_file.h"
#include "common/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

/// What was read.
class Taken final : public TarSink {
 public:
  Result<void> begin(const std::string& name, std::uint64_t) override {
    last_ = &files[name];
    return {};
  }
  Result<void> bytes(std::string_view some) override {
    *last_ += some;
    return {};
  }
  Result<void> end() override { return {}; }

  std::map<std::string, std::string> files;

 private:
  std::string* last_ = nullptr;
};

/// An archive, in the making.
struct Archive {
  BackupWriter writer{[this](std::string_view bytes) {
                        tar += bytes;
                        return Result<void>();
                      },
                      1'700'000'000};
  std::string tar;

  Archive() { add(std::string(kBackupManifest), backupTitle()); }
  void add(const std::string& name, std::string_view content) {
    const auto added = writer.add(name, content);
    EXPECT_TRUE(added) << added.error().message;
  }
  std::string whole() {
    add(std::string(kBackupDatabase), "pages");
    EXPECT_TRUE(writer.finish());
    return tar;
  }
};

std::string usual() {
  Archive archive;
  archive.add("configuration/egalaxyd.toml", "[server]\n");
  archive.add("certificates/a.crt", std::string(512, 'c'));
  archive.add("certificates/a.key", std::string(1000, 'k'));
  archive.add("certificates/empty", "");
  return archive.whole();
}

/// "", or why it was refused; fed in parts of that size.
std::string read(std::string_view tar, std::size_t part = 1 << 20, Taken* into = nullptr) {
  Taken own;
  BackupReader reader(into == nullptr ? own : *into);
  for (; !tar.empty(); tar.remove_prefix(std::min(part, tar.size()))) {
    if (const auto fed = reader.feed(tar.substr(0, part)); !fed) return fed.error().message;
  }
  const auto whole = reader.finish();
  return whole ? "" : whole.error().message;
}

/// Its sum made right again.
void sign(std::string& tar, std::size_t header) {
  tar.replace(header + 148, 8, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[header + i]);
  std::string digits(6, '0');
  for (std::size_t i = 6; i-- > 0; sum /= 8) digits[i] = static_cast<char>('0' + sum % 8);
  tar.replace(header + 148, 8, digits + std::string("\0 ", 2));
}

/// The usual archive with something else at `at` of its second header.
std::string changed(std::size_t at, std::string_view bytes) {
  constexpr std::size_t kSecond = 1024;  // behind MANIFEST and its one block
  std::string tar = usual();
  tar.replace(kSecond + at, bytes.size(), bytes);
  sign(tar, kSecond);
  return tar;
}

TEST(BackupArchive, GivesBackWhatWasPutIntoIt) {
  for (const std::size_t part : {1U, 7U, 511U, 512U, 513U, 1U << 20}) {
    Taken taken;
    EXPECT_EQ(read(usual(), part, &taken), "");
    EXPECT_EQ(taken.files.size(), 5U);
    EXPECT_EQ(taken.files["configuration/egalaxyd.toml"], "[server]\n");
    EXPECT_EQ(taken.files["certificates/a.key"], std::string(1000, 'k'));
    EXPECT_EQ(taken.files["certificates/empty"], "");
    EXPECT_EQ(taken.files["db/egalaxyd.db"], "pages");
  }
}

TEST(BackupArchive, KeepsLongNames) {
  const std::string name =
      "configuration/" + std::string(90, 'a') + "/" + std::string(90, 'b') + ".toml";
  Archive archive;
  archive.add(name, "x");
  Taken taken;
  EXPECT_EQ(read(archive.whole(), 100, &taken), "");
  EXPECT_EQ(taken.files[name], "x");
  EXPECT_FALSE(tarHeader(std::string(101, 'a'), 1, 0));
  EXPECT_FALSE(tarHeader(std::string(300, 'a') + "/b", 1, 0));
}

TEST(BackupArchive, SaysSizesBeyondEightGigabytes) {
  class Size final : public TarSink {
   public:
    Result<void> begin(const std::string&, std::uint64_t announced) override {
      size = announced;
      return {};
    }
    Result<void> bytes(std::string_view) override { return {}; }
    Result<void> end() override { return {}; }
    std::uint64_t size = 0;
  };
  for (const std::uint64_t size : {(1ULL << 33) - 1, 1ULL << 33, 123'456'789'012'345ULL}) {
    Size sink;
    EXPECT_TRUE(TarReader(sink).feed(tarHeader("big", size, 0).value()));
    EXPECT_EQ(sink.size, size);
  }
}

TEST(BackupArchive, RefusesNamesThatLeadElsewhere) {
  for (const char* name :
       {"../x", "/etc/passwd", "certificates/../x", "certificates/./x", "certificates//x",
        "certificates/", "configuration/a/../../b", "db/other", "db/egalaxyd.db/x", "egalaxyd.lock",
        "./MANIFEST", "certificates/a\nb", "certificates/\x1b[2J", ""}) {
    EXPECT_FALSE(isBackupName(name)) << name;
    EXPECT_THAT(
        read(changed(0, std::string(name) + std::string(100 - std::string(name).size(), '\0'))),
        HasSubstr("does not belong"))
        << name;
  }
  EXPECT_TRUE(isBackupName("certificates/..a"));
}

TEST(BackupArchive, RefusesWhatIsNoRegularFile) {
  for (const char type : {'1', '2', '3', '4', '5', '6', '7', 'g', 'x', 'L', 'S'}) {
    EXPECT_THAT(read(changed(156, std::string(1, type))), HasSubstr("no regular file")) << type;
  }
  EXPECT_THAT(read(changed(157, "/etc/passwd")), HasSubstr("no regular file"));
}

TEST(BackupArchive, BelievesNoSize) {
  const std::string huge("\x80\0\0\0\x0f\xff\xff\xff\xff\xff\xff\xff", 12);
  EXPECT_NE(read(changed(124, huge)), "");
  EXPECT_NE(read(changed(124, std::string(12, '\xff'))), "");
  EXPECT_NE(read(changed(124, "77777777777")), "");
  EXPECT_NE(read(changed(124, "00000000000")), "");
  EXPECT_NE(read(changed(124, "0000000000x")), "");
  EXPECT_NE(read(changed(124, std::string(12, '\0'))), "");
  EXPECT_NE(read(changed(124, std::string(12, '-'))), "");
}

TEST(BackupArchive, RefusesWhatIsDamagedOrCutOff) {
  const std::string tar = usual();
  for (std::size_t size = 0; size < tar.size(); size += 97) {
    EXPECT_NE(read(std::string_view(tar).substr(0, size)), "") << size;
  }
  EXPECT_NE(read(std::string_view(tar).substr(0, tar.size() - 1)), "");
  for (std::size_t at = 0; at + 1024 < tar.size(); at += 61) {
    std::string damaged = tar;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    // Padding is nobody's content.
    if (tar[at] != '\0') {
      EXPECT_NE(read(damaged), "") << at;
    }
  }
  EXPECT_NE(read(tar + "x" + std::string(511, '\0')), "");
  EXPECT_NE(read(tar + tar), "");
  EXPECT_NE(read(tar + std::string(512 * 30, '\0')), "");
  EXPECT_EQ(read(tar + std::string(512 * 8, '\0')), "") << "tar(1) fills up";
}

TEST(BackupArchive, WantsEachFileOnceAndTheDatabase) {
  Archive twice;
  twice.add("certificates/a", "1");
  twice.add("certificates/a", "1");
  EXPECT_THAT(read(twice.whole()), HasSubstr("twice"));
  Archive none;
  EXPECT_TRUE(none.writer.finish());
  EXPECT_THAT(read(none.tar), HasSubstr("no database"));
  EXPECT_THAT(read(tarEnd()), HasSubstr("cut off"));
  EXPECT_NE(read(""), "");
  EXPECT_THAT(read(std::string_view(usual()).substr(1024)), HasSubstr("no backup of egalaxyd"));
}

TEST(BackupArchive, RefusesOneOfANewerEgalaxyd) {
  std::string tar;
  BackupWriter writer(
      [&](std::string_view bytes) {
        tar += bytes;
        return Result<void>();
      },
      0);
  EXPECT_TRUE(writer.add(std::string(kBackupManifest), "egalaxyd backup, format 2\n"));
  EXPECT_THAT(read(tar), HasSubstr("newer egalaxyd"));
}

TEST(BackupArchive, EndsWhenItsReaderFails) {
  class Full final : public TarSink {
    Result<void> begin(const std::string&, std::uint64_t) override { return {}; }
    Result<void> bytes(std::string_view) override {
      return Error{ErrorCode::kNoSpace, "the disk is full"};
    }
    Result<void> end() override { return {}; }
  };
  Full full;
  BackupReader reader(full);
  const auto fed = reader.feed(usual());
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::kNoSpace);
}

class ZstdFileTest : public testing::Test {
 protected:
  /// What `content` decompresses to, or the failure.
  Result<std::string> readBack(const std::string& content) {
    folder_.write("file", content);
    const UniqueFd fd(::open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
    std::string plain;
    const auto done = readZstd(fd.get(), [&](std::string_view some) {
      plain += some;
      return Result<void>();
    });
    return done ? Result<std::string>(plain) : done.error();
  }
  std::string compressed(std::string_view plain) {
    folder_.write("file", "");
    const UniqueFd fd(::open((folder_ / "file").c_str(), O_WRONLY | O_CLOEXEC));
    ZstdWriter writer(fd.get());
    EXPECT_TRUE(writer.write(plain));
    EXPECT_TRUE(writer.finish());
    return folder_.read("file");
  }

  TempDir folder_;
};

TEST_F(ZstdFileTest, GivesBackWhatWasWritten) {
  for (const std::size_t size : {0U, 1U, 131'072U, 131'073U, 3'000'000U}) {
    std::string plain(size, 'a');
    for (std::size_t i = 0; i < size; i += 3) plain[i] = static_cast<char>(i * 7919 >> 5);
    EXPECT_EQ(readBack(compressed(plain)).value(), plain) << size;
  }
}

TEST_F(ZstdFileTest, RefusesWhatIsNotOneWholeFrame) {
  const std::string whole = compressed(std::string(100'000, 'x'));
  EXPECT_FALSE(readBack(""));
  EXPECT_FALSE(readBack("no frame at all"));
  EXPECT_FALSE(readBack(whole.substr(0, whole.size() - 1)));
  EXPECT_FALSE(readBack(whole + "x"));
  EXPECT_FALSE(readBack(whole + whole));
  std::string damaged = whole;
  damaged[damaged.size() - 1] = static_cast<char>(damaged.back() ^ 1);  // the checksum
  EXPECT_FALSE(readBack(damaged));
}

TEST_F(ZstdFileTest, GivesNoFrameTheMemoryThatItAsksFor) {
  // A header that announces a window of 2 GiB.
  const auto refused = readBack(std::string("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("memory"));
}

}  // namespace
}  // namespace egalaxyd
