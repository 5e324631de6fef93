#!/usr/bin/env bash
# Run five ways to reuse data in Gaussian chains: replace all, pool all, a subsample of the pool, and the process
# alpha p_theta + beta p_i + gamma p_0 of arXiv:2305.17493 with and without original rows.
#   multirun_scripts/recursive_pools.sh [local|slurm]     15 cells of 1,000 chains and 100 generations each
# An estimated 10 minutes on two cores; a GPU makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
pools() {
  launch "$1" +experiment=recursive_gaussian model.estimator=unbiased probes=[moments,steps] store=all \
    generations=100 model.replicas=1000 seed=0,1,2 "${@:2}"
}
(pools "${1:-local}" mixing=replace,accumulate,accumulate_subsample "${@:2}")
(pools "${1:-local}" mixing=blend mixing.latest=0.5 mixing.previous=0.25 mixing.original=0.25 "${@:2}")
(pools "${1:-local}" mixing=blend mixing.latest=0.5 mixing.previous=0.5 mixing.original=0 "${@:2}")
