// What the rows of a decode step cost on this machine: a line through what steps took of late.
#pragma once

#include <cstddef>

namespace lazyfill {

class RowCosts {
 public:
  // A step of so many rows took so long.
  void note(size_t n_rows, double ms);
  // Of a step, in steps of one row.
  double of(size_t n_rows) const;

 private:
  // Sums over the steps, of x = rows - 1 and t = their time; the older ones count less and less.
  double n_ = 0;
  double x_ = 0;
  double xx_ = 0;
  double t_ = 0;
  double xt_ = 0;

  struct Line {
    double first;  // row
    double other;  // each
  };
  Line line() const;
};

}  // namespace lazyfill
