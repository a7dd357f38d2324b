// SPDX-License-Identifier: MIT
// A network wired by hand from the layers of the library: two blocks of RWKV-4 and a linear head that turn a series of
// readings into a prediction of the next one. The weights are new (untrained); the point is that the layers stand
// alone, that a whole series and one reading at a time give the same, and that a State is a value.
#include <cmath>
#include <cstdio>
#include <memory>
#include <rwkv/arch/synthetic.hpp>
#include <rwkv/rwkv.hpp>

namespace {

constexpr rwkv::Index n_sensors = 8;

class Forecaster {
public:
  /// Takes blocks.0.*, blocks.1.* and head.weight from a checkpoint.
  explicit Forecaster(const rwkv::Checkpoint& checkpoint, const rwkv::Config& config) {
    rwkv::Construction construction{&checkpoint, config, *layout_};
    const rwkv::Builder build(construction);
    for (rwkv::Index i = 0; i < config.n_layer; ++i) blocks_.emplace_back(build.layer(i));
    head_ = build.matrix("head.weight", config.n_vocab, config.n_embd);
  }

  [[nodiscard]] rwkv::State new_state() const { return rwkv::State(layout_); }

  /// readings [T, n_sensors] are the residual stream itself: there is no embedding. Returns forecasts [T, n_sensors].
  [[nodiscard]] std::vector<float> forecast(std::vector<float> readings, rwkv::State& state,
                                            rwkv::Workspace& workspace) const {
    const auto n_rows = static_cast<rwkv::Index>(readings.size()) / n_sensors;
    const rwkv::MatrixView<float> x{readings.data(), n_rows, n_sensors};
    const rwkv::Segment<float> series{0, n_rows, state.values().data()};
    for (const auto& block : blocks_) block.apply(x, {std::span(&series, 1), workspace});
    std::vector<float> forecasts(readings.size());
    head_.apply<float>(x, {forecasts.data(), n_rows, n_sensors}, workspace);
    return forecasts;
  }

private:
  std::shared_ptr<rwkv::StateLayout> layout_ = std::make_shared<rwkv::StateLayout>();
  std::vector<rwkv::Block<float, rwkv::v4::TimeMix<float>, rwkv::v4::ChannelMix<float>>> blocks_;
  rwkv::Linear head_;
};

}  // namespace

int main() try {
  const rwkv::Config config{
      .n_layer = 2, .n_embd = n_sensors, .n_att = n_sensors, .n_ffn = 4 * n_sensors, .n_vocab = n_sensors};
  const Forecaster forecaster(rwkv::synthetic(config, rwkv::DType::f32, 1), config);
  std::vector<float> readings;
  for (rwkv::Index t = 0; t < 40; ++t) {
    for (rwkv::Index sensor = 1; sensor <= n_sensors; ++sensor) {
      readings.push_back(std::sin(0.3f * static_cast<float>(t * sensor)));
    }
  }

  rwkv::Workspace workspace;
  rwkv::State series_state = forecaster.new_state(), step_state = forecaster.new_state();
  const auto whole = forecaster.forecast(readings, series_state, workspace);
  std::vector<float> step_by_step;
  for (auto reading = readings.begin(); reading != readings.end(); reading += n_sensors) {
    const auto one = forecaster.forecast({reading, reading + n_sensors}, step_state, workspace);
    step_by_step.insert(step_by_step.end(), one.begin(), one.end());
  }

  float difference = 0;
  for (std::size_t i = 0; i < whole.size(); ++i)
    difference = std::max(difference, std::abs(whole[i] - step_by_step[i]));
  std::printf("forecast of sensor 0 after 40 readings: %.6f\n", static_cast<double>(whole[whole.size() - n_sensors]));
  std::printf("largest difference between the whole series and one reading at a time: %.1e\n",
              static_cast<double>(difference));
  return difference < 1e-4f ? 0 : 1;
} catch (const rwkv::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
