#!/usr/bin/env bash
# Run six ratios with three seeds: how much of its own output can a model train on before it collapses?
#   multirun_scripts/nepotistic_dose_response.sh           on this machine, COLLAPSE_LAB_JOBS cells at a time (2)
#   multirun_scripts/nepotistic_dose_response.sh slurm     as an array job of a SLURM cluster
# 18 cells and 3 fits of generation 0: about half an hour on two cores, an estimated ten minutes on one GPU with
# `basic trainer.pack=18` (not measured). Three seeds cannot tell ratios up to 0.1 from the control: nepotistic_small_ratios.sh
# runs them with 16.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0,0.005,0.033,0.1,0.5,1 seed=0,1,2 "${@:2}"
