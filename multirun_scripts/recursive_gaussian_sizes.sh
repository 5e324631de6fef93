#!/usr/bin/env bash
# Run sizes that grow over the generations as a power: a linear growth does not stop the collapse, a faster one does.
#   multirun_scripts/recursive_gaussian_sizes.sh [local|slurm]     12 cells of 200 chains each
# An estimated 10 minutes on two cores; a GPU makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
sizes() { launch "$1" +experiment=recursive_gaussian model.estimator=unbiased model.replicas=200 seed=0,1,2 "${@:2}"; }
(sizes "${1:-local}" 'n_train={first:100,exponent:0},{first:100,exponent:1},{first:100,exponent:1.5}' generations=100 \
  "${@:2}")
(sizes "${1:-local}" 'n_train={first:100,exponent:2}' generations=30 "${@:2}")
