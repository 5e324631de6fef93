#!/usr/bin/env bash
# Dose and response: how much of its own output does a model stand? Five ratios, three seeds.
#   multirun_scripts/nepotistic_dose_response.sh           on this machine, COLLAPSE_LAB_JOBS cells at a time (2)
#   multirun_scripts/nepotistic_dose_response.sh slurm     as an array job
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0,0.005,0.1,0.5,1 seed=0,1,2 "${@:2}"
