#!/usr/bin/env bash
# Run the mixture of two Gaussians of arXiv:2305.17493, thirty chains of 2,050 generations side by side, and its size
# sweep over 200 generations.
#   multirun_scripts/recursive_gmm.sh [local|slurm]     18 cells
# An estimated 45 minutes on two cores (measured: 0.65 s of CPU time a generation of thirty chains, 0.9 s of one chain
# of 200,000 rows); a GPU makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
(launch "${1:-local}" +experiment=recursive_gmm model.replicas=30 seed=0,1,2 "${@:2}")
(launch "${1:-local}" +experiment=recursive_gmm n_train=500,1000,10000,50000,200000 model.replicas=1 generations=200 \
  seed=0,1,2 "${@:2}")
