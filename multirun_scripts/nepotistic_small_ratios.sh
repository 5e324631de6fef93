#!/usr/bin/env bash
# Run the control and the three smallest ratios with 16 seeds, paired by seed: does one synthetic image of each prompt
# (ratio=0.033: 20 images of 600 for 20 prompts) do harm?
#   multirun_scripts/nepotistic_small_ratios.sh [local|slurm]
# 64 cells and 16 fits of generation 0: two and a half hours on two cores, nineteen minutes of a core for each seed; an
# estimated half an hour on one GPU with `basic trainer.pack=16` (not measured). Cells of seeds 0, 1 and 2 are those of
# nepotistic_dose_response.sh, and are not run twice.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0,0.005,0.033,0.1 'seed=range(16)' "${@:2}"
