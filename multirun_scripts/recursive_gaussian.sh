#!/usr/bin/env bash
# Run the Gaussian chains of arXiv:2305.17493 for four sizes of the training set, with both estimators.
#   multirun_scripts/recursive_gaussian.sh [local|slurm]     24 cells of 200 chains and 1,000 generations each
# An estimated 50 minutes on two cores (measured: 3.8 s of CPU time a generation of 10,000 rows and 1,000 chains); a GPU
# makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=recursive_gaussian n_train=100,500,1000,10000 model.estimator=ml,unbiased \
  model.replicas=200 probes=[moments,sampled] seed=0,1,2 "${@:2}"
