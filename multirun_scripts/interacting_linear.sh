#!/usr/bin/env bash
# Run four linear models that learn from each other (arXiv:2505.21677) over the shares alpha and beta.
#   multirun_scripts/interacting_linear.sh [local|slurm]     9 cells of 1,000 replicas, four models, 50 generations
# About a minute and a half on two cores (measured: 10 s of CPU time for a cell); a GPU makes no difference, because the
# family runs on the CPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=interacting_linear ratio=0,0.5,1 mixing.beta=0,0.5,1 "${@:2}"
