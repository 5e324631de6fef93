#!/usr/bin/env bash
# Run three strengths of classifier-free guidance: does the strength decide how fast a chain collapses?
#   multirun_scripts/nepotistic_guidance.sh [local|slurm]
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=1 model.guidance_scale=1,2,4 seed=0,1,2 "${@:2}"
