#!/usr/bin/env bash
# Run four linear models that learn from each other (arXiv:2505.21677) over the shares alpha and beta.
# The first sweep has inputs that span all dimensions. In the second one the inputs of each model span three.
#   multirun_scripts/interacting_linear.sh [local|slurm]     54 cells of 1,000 replicas, four models, 50 generations
# About ten minutes on two cores (measured: 10 s of CPU time for a cell); a GPU makes no difference, because the family
# runs on the CPU.
shares() {
  source "$(dirname "$0")/launch.sh"
  launch "$1" +experiment=interacting_linear ratio=0,0.5,1 mixing.beta=0,0.5,1 seed=0,1,2 "${@:2}"
}
(shares "${1:-local}" "${@:2}")
(shares "${1:-local}" 'dataset.rank={a:3,b:3,c:3,d:3}' dataset.spread=0 model.singular=least_norm "${@:2}")
