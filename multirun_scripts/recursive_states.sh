#!/usr/bin/env bash
# Run histograms of their own samples: which states are lost first, and in which state do chains end?
#   multirun_scripts/recursive_states.sh [local|slurm]     6 cells of 1,000 and 10,000 chains each
# About a minute on two cores (measured: 22 s and 7 s of CPU time a cell); a GPU makes no difference, because the family
# runs on the CPU.
source "$(dirname "$0")/launch.sh"
states() { launch "$1" +experiment=recursive_gaussian dataset=categories model=discrete "${@:2}"; }
(states "${1:-local}" dataset.categories=5 n_train=20 generations=200 model.replicas=10000 probes=[drift,states] \
  probes.states.states=5 seed=0,1,2 "${@:2}")
(states "${1:-local}" dataset.categories=100 n_train=100 generations=50 model.replicas=1000 probes=[drift,states] \
  seed=0,1,2 "${@:2}")
