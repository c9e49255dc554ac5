// SPDX-License-Identifier: Apache-2.0
// A forecast's JSON read back.
#include "analysis/forecast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "analysis/report.h"
#include "tests/simulator/random_graph.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;
using simulator::Products;

/// Predicted and measured on a random network, with every list that a forecast can have.
NetworkReport some_report() {
  const simulator::Graph g = simulator::RandomGraph({}).make();
  const simulator::Forward clean = simulator::run_forward(g, {});
  simulator::Predictor predictor(g, clean, simulator::measure_responses(g, clean, 1, 1));
  NetworkReport report;
  report.recording = "random";
  for (const char* name : {"nvfp4-w4a4", "fp8-deepseek-v3"}) {
    const simulator::Recipe recipe = simulator::load_recipe(name);
    Forecast f;
    f.recipe = name;
    f.statistics_seconds = 0.1;
    f.predicted = predictor.with_contributions(recipe, {});
    f.measured = simulator::measure(g, clean, recipe, {}, {}, {.products = Products::recipe});
    f.measured->use.front().alarms = {"an alarm"};
    f.at_once = 3;
    report.forecasts.push_back(std::move(f));
  }
  return report;
}

/// Every number another one, every text another text, but for the names of enumerators.
void change(Json& j, double& count) {
  if (j.is_structured()) {
    for (auto& [name, item] : j.items()) {
      if (name != "role" && name != "arithmetic") change(item, count);
    }
  } else if (j.is_string()) {
    j = j.get<std::string>() + "'";
  } else if (j.is_boolean()) {
    j = !j.get<bool>();
  } else if (j.is_number_float()) {
    j = std::sqrt(++count);  // all its digits count
  } else if (j.is_number()) {
    j = static_cast<std::int64_t>(++count);
  }
}

TEST(ForecastJson, HoldsAllThatAReportShows) {
  const NetworkReport report = some_report();
  NetworkReport again = report;
  for (Forecast& f : again.forecasts) f = forecast_from_json(Json::parse(to_json(f).dump()));
  EXPECT_EQ(to_json(again).dump(), to_json(report).dump());
  EXPECT_EQ(to_text(again), to_text(report));
  Report page;
  page.network = report;
  Report page_again;
  page_again.network = again;
  EXPECT_EQ(to_html(page_again), to_html(page));
}

TEST(ForecastJson, EveryMemberIsReadFromItsOwnPlace) {
  for (const Forecast& f : some_report().forecasts) {
    Json j = to_json(f);
    for (const char* list : {"routers", "operands", "linears", "values", "contributions"})
      ASSERT_FALSE(j["predicted"][list].empty()) << list;
    for (const char* list : {"routers", "accumulators", "experts", "utilisation", "operands",
                             "linears", "values", "gradients"})
      ASSERT_FALSE(j["measured"][list].empty()) << list;
    double count = 1;
    change(j, count);
    EXPECT_EQ(to_json(forecast_from_json(j)).dump(), j.dump());
  }
}

TEST(ForecastJson, AFigureThatIsNotFiniteIsNaN) {
  Forecast f;
  f.recipe = "r";
  f.measured.emplace();
  f.measured->loss.change = std::numeric_limits<double>::infinity();
  const Forecast again = forecast_from_json(Json::parse(to_json(f).dump()));
  EXPECT_TRUE(std::isnan(again.measured->loss.change));
  EXPECT_EQ(to_json(again).dump(), to_json(f).dump());
  EXPECT_FALSE(again.predicted);
}

TEST(ForecastJson, AMissingMemberIsAnError) {
  Json j = to_json(some_report().forecasts.front());
  j["measured"]["loss"].erase("kl");
  EXPECT_ANY_THROW((void)forecast_from_json(j));
}

}  // namespace
}  // namespace assay::analysis
