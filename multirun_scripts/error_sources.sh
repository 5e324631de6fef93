#!/usr/bin/env bash
# Run the three sources of error of arXiv:2305.17493 one at a time: samples, expressivity, and the learning procedure.
#   multirun_scripts/error_sources.sh [local|slurm]     48 cells of 10 or 100 chains and 50 generations each
# An estimated half an hour on two cores (measured: 4.4 s of CPU time a generation of 100 chains of 3,000 rows); a GPU
# makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
(launch "${1:-local}" +experiment=error_sources n_train=100,300,1000,3000 seed=0,1,2 "${@:2}")
(launch "${1:-local}" +experiment=error_sources n_train=30000 model.replicas=10 model.components=1,2,3 'seed=range(8)' \
  "${@:2}")
(launch "${1:-local}" +experiment=error_sources model.tol=0 model.max_iter=1,3,10,100 seed=0,1,2 "${@:2}")
