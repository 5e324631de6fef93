#!/usr/bin/env bash
# Run the feedback loop under three strengths of guidance: nine versions, each trained on its predecessor's images.
#   multirun_scripts/feedback_guidance.sh [local|slurm] [dataset=mnist …]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback model.guidance_scale=1,2,4 seed=0,1,2 "${@:2}"
