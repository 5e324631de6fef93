#!/usr/bin/env bash
# Nine versions, each trained on the images of the one before it, under three strengths of guidance
#   multirun_scripts/feedback_guidance.sh [local|slurm] [dataset=mnist …]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback model.guidance_scale=1,2,4 seed=0,1,2 "${@:2}"
