#include "ctl/client/upload_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.h"

namespace egalaxyd::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

class UploadPlanTest : public testing::Test {
 protected:
  UploadPlan plan(const std::vector<std::string>& sources,
                  const std::string& url = "titan://h/w/") {
    auto planned = planUploads(sources, *parseTarget(url, Protocol::kTitan));
    EXPECT_TRUE(planned.ok()) << (planned ? "" : planned.error().message);
    return planned ? std::move(*planned) : UploadPlan();
  }
  std::vector<std::string> urls(const UploadPlan& planned) {
    std::vector<std::string> all;
    for (const PlannedUpload& upload : planned.uploads) all.push_back(upload.target.url);
    return all;
  }

  TempDir folder;
};

TEST_F(UploadPlanTest, PutsFilesAndTheContentOfFoldersBelowTheUrl) {
  folder.write("notes/b.gmi", "b");
  folder.write("notes/a/z.gmi", "zz");
  const std::string single = folder.write("c.gmi", "ccc");
  const UploadPlan planned = plan({(folder / "notes").string(), single});
  EXPECT_THAT(urls(planned),
              ElementsAre("titan://h/w/a/z.gmi", "titan://h/w/b.gmi", "titan://h/w/c.gmi"));
  EXPECT_EQ(planned.uploads[0].size, 2U);
  EXPECT_EQ(planned.uploads[0].file, (folder / "notes/a/z.gmi").string());
  EXPECT_EQ(urls(plan({(folder / "notes/").string()})).size(), 2U);
}

TEST_F(UploadPlanTest, EncodesNames) {
  folder.write("n/a b;c%41?#ä.gmi", "x");
  folder.write("n/sub dir/\xff\n.gmi", "x");
  EXPECT_THAT(urls(plan({(folder / "n").string()}, "titan://h/?q")),
              ElementsAre("titan://h/a%20b%3Bc%2541%3F%23%C3%A4.gmi?q",
                          "titan://h/sub%20dir/%FF%0A.gmi?q"));
}

TEST_F(UploadPlanTest, SkipsWhatIsHiddenOrNoFileAndSaysSo) {
  folder.write("n/.git/config", "x");
  folder.write("n/.env", "x");
  folder.write("n/a.gmi", "x");
  ASSERT_EQ(::mkfifo((folder / "n/pipe").c_str(), 0600), 0);
  const UploadPlan planned = plan({(folder / "n").string()});
  EXPECT_THAT(urls(planned), ElementsAre("titan://h/w/a.gmi"));
  EXPECT_THAT(planned.skipped, ElementsAre(HasSubstr("n/.env: hidden"), HasSubstr("n/.git: hidden"),
                                           HasSubstr("n/pipe: is a FIFO")));
}

TEST_F(UploadPlanTest, FollowsLinksToFilesOfTheSameFolderAlone) {
  folder.write("secret", "x");
  folder.write("n/.hidden", "x");
  folder.write("n/a.gmi", "four");
  folder.write("n/d/x.gmi", "x");
  fs::create_symlink("a.gmi", folder / "n/good.gmi");
  fs::create_symlink("../secret", folder / "n/out");
  fs::create_symlink(".hidden", folder / "n/peek");
  fs::create_symlink("d", folder / "n/loop");
  fs::create_symlink("nowhere", folder / "n/dangling");
  const UploadPlan planned = plan({(folder / "n").string()});
  EXPECT_THAT(urls(planned),
              ElementsAre("titan://h/w/a.gmi", "titan://h/w/d/x.gmi", "titan://h/w/good.gmi"));
  EXPECT_EQ(planned.uploads[2].size, 4U);
  EXPECT_EQ(planned.skipped.size(), 5U);
}

TEST_F(UploadPlanTest, TakesWhatTheCommandLineNamesEvenIfItIsHiddenOrALink) {
  folder.write(".notes/a.gmi", "x");
  const std::string file = folder.write(".profile", "x");
  fs::create_symlink(".notes", folder / "link");
  EXPECT_THAT(urls(plan({file})), ElementsAre("titan://h/w/.profile"));
  EXPECT_THAT(urls(plan({(folder / ".notes").string()})), ElementsAre("titan://h/w/a.gmi"));
  EXPECT_THAT(urls(plan({(folder / "link").string()})), ElementsAre("titan://h/w/a.gmi"));
}

TEST_F(UploadPlanTest, RefusesTwoFilesForOnePlace) {
  const std::string a = folder.write("a/x.gmi", "1");
  const std::string b = folder.write("b/x.gmi", "2");
  const auto planned = planUploads({a, b}, *parseTarget("titan://h/", Protocol::kTitan));
  ASSERT_FALSE(planned.ok());
  EXPECT_EQ(planned.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(planned.error().message, HasSubstr("would both become titan://h/x.gmi"));
}

TEST_F(UploadPlanTest, GoesOnBehindWhatIsMissing) {
  const std::string a = folder.write("a.gmi", "1");
  const UploadPlan planned = plan({(folder / "none").string(), a});
  EXPECT_THAT(urls(planned), ElementsAre("titan://h/w/a.gmi"));
  ASSERT_EQ(planned.failed.size(), 1U);
  EXPECT_EQ(planned.failed[0].code, ErrorCode::kNotFound);
  EXPECT_THAT(plan({folder.makeDir("empty").string()}).uploads, IsEmpty());
}

}  // namespace
}  // namespace egalaxyd::ctl
