#!/usr/bin/env bash
# Run the healing experiment at two ratios with three seeds: five contaminated iterations, then five on real images.
#   multirun_scripts/nepotistic_healing.sh [local|slurm]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_healing ratio=0.5,1 seed=0,1,2 "${@:2}"
