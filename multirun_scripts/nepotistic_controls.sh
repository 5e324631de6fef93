#!/usr/bin/env bash
# Run two controls: does it prevent collapse to match intensities to the real images, or to drop the worst images?
#   multirun_scripts/nepotistic_controls.sh [local|slurm]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0.5 curation=none,histogram,drop_worst seed=0,1,2 "${@:2}"
