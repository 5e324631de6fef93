#!/usr/bin/env bash
# Run linear regression on its own labels under three policies (arXiv:2404.01413): which test errors stay bounded?
#   multirun_scripts/accumulate_vs_replace.sh [local|slurm]     48 cells of 1,000 chains and 20 generations each
# About five minutes on two cores (measured: 22 s of CPU time for a cell of accumulate); a GPU makes no difference, because
# the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=accumulate_vs_replace mixing=replace,accumulate,accumulate_subsample 'seed=range(16)' \
  "${@:2}"
