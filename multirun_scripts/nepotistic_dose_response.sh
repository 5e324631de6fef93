#!/usr/bin/env bash
# Run five ratios with three seeds: how much of its own output can a model train on before it collapses?
#   multirun_scripts/nepotistic_dose_response.sh           on this machine, COLLAPSE_LAB_JOBS cells at a time (2)
#   multirun_scripts/nepotistic_dose_response.sh slurm     as an array job of a SLURM cluster
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0,0.005,0.1,0.5,1 seed=0,1,2 "${@:2}"
