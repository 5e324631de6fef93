#!/usr/bin/env bash
# Healing: five contaminated iterations, then five on real images only. Two ratios, three seeds.
#   multirun_scripts/nepotistic_healing.sh [local|slurm]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_healing ratio=0.5,1 seed=0,1,2 "${@:2}"
