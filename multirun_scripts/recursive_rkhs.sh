#!/usr/bin/env bash
# Run density estimates in a Hilbert space under three ridges: which directions of the real density are left?
#   multirun_scripts/recursive_rkhs.sh [local|slurm]     9 cells of 1,000 chains and 50 generations each
# About a minute on two cores (measured: 0.2 s of CPU time a generation); a GPU makes no difference, because the family
# runs on the CPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=recursive_rkhs model.ridge=0.0001,0.001,0.01 seed=0,1,2 "${@:2}"
