#!/usr/bin/env bash
# Run the three loops of arXiv:2307.01850 under two sampling biases, on 8x8 digits.
#   multirun_scripts/mad.sh [local|slurm]     18 chains of nine versions each
# An estimated hour on two cores, by the half hour of the nine chains of feedback_guidance.sh, and an estimated quarter
# of an hour on one GPU, where it has not been run. For the paper's MNIST give +scale=paper.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=mad mixing=replace,augment,fresh model.guidance_scale=1,2 seed=0,1,2 "${@:2}"
