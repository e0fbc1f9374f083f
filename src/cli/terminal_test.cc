#include "cli/terminal.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

const Progress kProgress = {.layer = 11, .n_layers = 30, .rows = 2048, .fraction = 0.5};

TEST(ProgressLine, TellsLayerRowsAndTimeLeft) {
  const std::string line = progress_line("prefill", kProgress, 1500, 120);
  EXPECT_EQ(line.substr(0, line.find("\u2588")), "prefill  50%  layer 12/30  2,048 rows  1.50 s left  ");
}

TEST(ProgressLine, LeavesOutWhatDoesNotFit) {
  EXPECT_EQ(progress_line("prefill", kProgress, 1500, 30), "prefill  50%  layer 12/30");
}

TEST(ProgressLine, EstimatesNothingFromNothing) {
  const std::string line =
      progress_line("prefill", {.layer = 0, .n_layers = 30, .rows = 9, .fraction = 0}, 10, 120);
  EXPECT_EQ(line.find("left"), std::string::npos);
}

TEST(ProgressLine, SurvivesFractionsOutOfRange) {
  EXPECT_EQ(progress_line("x", {.layer = 30, .n_layers = 30, .rows = 1, .fraction = 1.5}, 1, 20),
            "x  100%  layer 30/30");
}

}  // namespace
}  // namespace lazyfill::cli
