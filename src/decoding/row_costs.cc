#include "decoding/row_costs.h"

#include <algorithm>

namespace lazyfill {
namespace {

// Before anything is measured: what a further row takes of the time of the first
// (bench/engine/draft_rows_bench).
constexpr double kRowShare = 0.12;
// How much measured rows it takes to outweigh that: a square of their number.
constexpr double kBelief = 1;
constexpr double kRemembered = 0.98;
// A machine that others use makes single steps much longer: those say nothing of rows.
constexpr double kMostOdd = 2;
constexpr double kLeastShare = 0.01;
constexpr double kMostShare = 1;

}  // namespace

void RowCosts::note(size_t n_rows, double ms) {
  if (n_rows == 0 || !(ms > 0)) return;
  const double x = static_cast<double>(n_rows - 1);
  if (n_ > 4) {
    const auto [first, other] = line();
    ms = std::min(ms, kMostOdd * (first + other * x));
  }
  for (double* sum : {&n_, &x_, &xx_, &t_, &xt_}) *sum *= kRemembered;
  n_ += 1;
  x_ += x;
  xx_ += x * x;
  t_ += ms;
  xt_ += x * ms;
}

// Least squares of t - first - other * x, with kBelief times the square of other - kRowShare * first.
RowCosts::Line RowCosts::line() const {
  if (n_ == 0) return {1, kRowShare};
  const double a = n_ + kBelief * kRowShare * kRowShare;
  const double b = x_ - kBelief * kRowShare;
  const double d = xx_ + kBelief;
  const double determinant = a * d - b * b;
  return {(t_ * d - xt_ * b) / determinant, (a * xt_ - b * t_) / determinant};
}

double RowCosts::of(size_t n_rows) const {
  const auto [first, other] = line();
  const double share = first > 0 ? std::clamp(other / first, kLeastShare, kMostShare) : kMostShare;
  return 1 + share * static_cast<double>(n_rows - std::min<size_t>(n_rows, 1));
}

}  // namespace lazyfill
