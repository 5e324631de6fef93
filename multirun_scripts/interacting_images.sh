#!/usr/bin/env bash
# Let two text-to-image models of digits learn from each other's drawings, at three shares of them, three seeds each.
#   multirun_scripts/interacting_images.sh [local|slurm|basic]   an estimated hour of CPU time, so half an hour on two cores
# It has not been run on a GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=interacting_images mixing.beta=0.5 generations=4 ratio=0,0.1,0.5 seed=0,1,2 "${@:2}"
